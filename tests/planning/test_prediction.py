"""Seconds on devices that are not here: what is counted for them, and what follows from it."""

from dataclasses import replace
from fractions import Fraction
from functools import partial

import pytest
import torch
from diffusers import AutoencoderKL
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from venhancer.errors import SettingsError
from venhancer.media.clip import describe_frames
from venhancer.model_files.network_shape import NetworkShape
from venhancer.model_files.traits import load_traits
from venhancer.models import KeyFrames, VideoAutoencoder, VideoControlNet, VideoUNet
from venhancer.plan import make_plan
from venhancer.planning.coding import decoding, encoding
from venhancer.planning.devices import DEVICES, LARGE_COPY, LARGE_PRODUCT, LAYERS
from venhancer.planning.estimate import Product, flops, network_flops
from venhancer.planning.machine import named_machine
from venhancer.planning.prediction import predict
from venhancer.reports.plan_rows import describe_prediction
from venhancer.settings import parse_settings

WIDTHS = (32, 64, 128, 128)


def plan_on(name, **settings):
    clip, request = describe_frames(24, 180, 320, Fraction(8)), {"model": "v2", "fps": 24, **settings}
    return make_plan(
        clip, parse_settings(**request), load_traits(request["model"]), machine=named_machine(DEVICES[name])
    )


def seconds_on(name, **settings):
    return predict(plan_on(name, **settings).layout, DEVICES[name], DEVICES[name].number_format)


@pytest.mark.parametrize("together", [1, 5])
def test_layers_of_autoencoders_are_those_that_torch_counts(together):
    down, up = (("DownEncoderBlock2D",) * 4), (("UpDecoderBlock2D",) * 4)
    shape = {"down_block_types": down, "block_out_channels": WIDTHS, "layers_per_block": 2}
    vae = AutoencoderKL(up_block_types=up, **shape) if together == 1 else VideoAutoencoder(**shape)
    options = {} if together == 1 else {"num_frames": together}
    with torch.inference_mode(), FlopCounterMode(display=False) as encoded:
        vae.encode(torch.zeros(1, 3, 64, 96))
    with torch.inference_mode(), FlopCounterMode(display=False) as decoded:
        vae.decode(torch.zeros(together, 4, 8, 12), **options)
    counts = [
        sum(map(flops, layers)) for layers in (encoding(64, 4, 8, 12), decoding(64, 4, 8, 12, temporal=together > 1))
    ]
    torch_counts = [encoded.get_total_flops(), decoded.get_total_flops() / together]
    assert counts == pytest.approx(torch_counts, rel=0.01)


class Moved(TorchDispatchMode):
    """Counts the values that operators read and write; those that only look at memory in another way move none."""

    values = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        tensors = [leaf for leaf in tree_leaves((arguments, keywords, result)) if isinstance(leaf, torch.Tensor)]
        is_view = function.is_view or "view" in str(function) or function.name().startswith("aten::detach")
        self.values += 0 if is_view else sum(tensor.numel() for tensor in tensors)
        return result


def test_values_moved_are_those_that_operators_read_and_write():
    grid = (8, 34, 64)
    with torch.device("meta"), torch.inference_mode():
        unet, controlnet = VideoUNet(), VideoControlNet()
        latents, timesteps = torch.zeros(1, 4, *grid), torch.zeros(1, dtype=torch.int64)
        texts = [network.project_text(torch.zeros(1, 77, 1024)) for network in (unet, controlnet)]
        key_frames = KeyFrames(latents, torch.ones(1, grid[0], dtype=torch.bool), timesteps, torch.ones(1))
        with Moved() as moved:
            unet(latents, timesteps, texts[0], controlnet(latents, timesteps, texts[1], key_frames))
    counted = network_flops(NetworkShape(), *grid, 77, measure=lambda product: product.values)
    assert counted.total == pytest.approx(moved.values, rel=0.15)


@pytest.mark.parametrize("device", DEVICES.values(), ids=DEVICES)
def test_a_layer_takes_as_long_as_the_slower_of_its_products_and_its_values(device):
    number_format = device.number_format
    products, values = Product("", "", 10**12, 1), Product("", "", 1, 10**12)
    rate = device.tflops[number_format] * 1e12 * LARGE_PRODUCT * LAYERS
    assert device.seconds(products, number_format) == pytest.approx(2e12 / rate)
    assert device.seconds(values, "fp32") == 2 * device.seconds(values, number_format)
    assert device.seconds(values, "fp32") == pytest.approx(4e12 / (device.bandwidth * LARGE_COPY * LAYERS))
    assert device.source


def test_seconds_are_never_less_than_the_products_take():
    plan = plan_on("a100")
    rate = 312e12 * LARGE_PRODUCT * LAYERS
    assert plan.estimate.network_flops / rate < seconds_on("a100").networks < 2 * plan.estimate.network_flops / rate


def test_faster_devices_and_less_work_take_less():
    times = [seconds_on(name).total for name in ("t4", "a10", "a100", "h100", "h200")]
    assert times == sorted(times, reverse=True)
    assert seconds_on("a100", preset="fast").networks < 0.6 * seconds_on("a100").networks
    assert seconds_on("a100", scale=2).total < 0.3 * seconds_on("a100").total


def test_weights_that_wait_take_time_to_come():
    groups, none = (seconds_on("4090", offload=offload, scale=2) for offload in ("groups", "none"))
    assert groups.transfers > 0 == none.transfers
    assert groups.networks >= none.networks


def test_parts_of_a_clip_take_as_long_as_its_windows():
    plan = plan_on("a100")
    windows = [len(window) for segment in plan.segments for window in segment.windows]
    measure = partial(DEVICES["a100"].seconds, number_format="bf16")
    grid = (plan.latent_height, plan.latent_width, 77)
    forwards = [network_flops(NetworkShape(), length, *grid, measure=measure).guided for length in windows]
    assert seconds_on("a100").networks == pytest.approx(sum(forwards) * plan.sampling.steps)


def test_a_linear_autoencoder_takes_next_to_nothing():
    prediction = seconds_on("a100", model="nano", scale=4)
    assert 0 < prediction.autoencoder < prediction.networks
    row = describe_prediction(plan_on("a100", model="nano"), replace(prediction, transfers=0.0))
    assert "transfers" not in row
    assert row.endswith("predicted, never measured")


def test_a_device_has_its_own_memory_and_number_formats():
    assert named_machine(DEVICES["a100"]).number_format == "bf16"
    assert named_machine(DEVICES["t4"]).number_format == "fp16"
    assert named_machine(DEVICES["t4"], "fp32").value_bytes == 4
    assert plan_on("4090").footprint.total < 24e9
    with pytest.raises(SettingsError, match="dtype bf16 is not for a T4; pass auto, fp32, fp16"):
        named_machine(DEVICES["t4"], "bf16")
