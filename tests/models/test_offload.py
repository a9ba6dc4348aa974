from collections import Counter
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from diffusers.hooks.group_offloading import apply_group_offloading
from torch.testing import assert_close

from tiny_model import LATENT_CHANNELS, TINY, randomised
from venhancer.checkpoints.adapters import merge_adapters
from venhancer.media.clip import describe_frames
from venhancer.models import ImageAutoencoder, VideoAutoencoder, VideoControlNet, VideoUNet
from venhancer.models.offload import CONSUMED, HOOK, INSIDE, arrange, bring, in_groups
from venhancer.plan import make_plan
from venhancer.planning.execution import Execution
from venhancer.settings import parse_settings
from venhancer.weights import load_pipeline

CPU = torch.device("cpu")
SHAPE = {**TINY, "in_channels": LATENT_CHANNELS}


def unet():
    return randomised(VideoUNet(**SHAPE, out_channels=LATENT_CHANNELS))


def controlnet():
    return randomised(VideoControlNet(**SHAPE))


def groups_of(network) -> list:
    hooked = (module._diffusers_hook for module in network.modules() if hasattr(module, "_diffusers_hook"))
    hooks = (registry.get_hook(HOOK) for registry in hooked)
    return list({id(hook.group): hook.group for hook in hooks if hook is not None}.values())


def values_of(group) -> list[torch.Tensor]:
    inside = (values for module in group.modules for values in (*module.parameters(), *module.buffers()))
    return [*inside, *group.parameters, *group.buffers]


@torch.inference_mode()
def forward(unet, controlnet, text_of_unet, text_of_controlnet, *, consume=None):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1, LATENT_CHANNELS, 3, 18, 16, generator=generator)
    timesteps = torch.tensor([500])
    residuals = controlnet(x, timesteps, text_of_controlnet, None)
    result = unet(x, timesteps, text_of_unet, control_residuals=residuals)
    if consume is not None:
        consume.append(len(residuals))
    return result


@pytest.mark.parametrize("make", [unet, controlnet])
def test_every_weight_of_a_network_belongs_to_one_group(make):
    network = make()
    arrange([network], CPU, "groups")
    groups = groups_of(network)
    belongs = Counter(key for group in groups for key in {id(values) for values in values_of(group)})
    assert set(belongs) == {id(values) for values in (*network.parameters(), *network.buffers())}
    assert set(belongs.values()) == {1}
    sizes = [sum(values.numel() for values in values_of(group)) for group in groups]
    assert max(sizes) < sum(sizes) / 2


def test_groups_fetch_all_that_a_forward_needs(tmp_path):
    """Weights that wait on the disk are nowhere else: what is not fetched in time would be noise."""
    networks = unet(), controlnet()
    embeds = torch.randn(1, 5, TINY["text_dim"], generator=torch.Generator().manual_seed(2))
    texts = [network.project_text(embeds) for network in networks]
    expected = forward(*networks, *texts)
    for index, network in enumerate(networks):
        apply_group_offloading(
            network,
            onload_device=CPU,
            offload_type="block_level",
            num_blocks_per_group=1,
            block_modules=INSIDE,
            exclude_kwargs=CONSUMED,
            offload_to_disk_path=str(tmp_path / str(index)),
        )
        for parameter in network.parameters():
            parameter.data.fill_(float("nan"))
    left: list[int] = []
    assert_close(forward(*networks, *texts, consume=left), expected)  # mapped from files, they lie in another order
    assert_close(forward(*networks, *texts), expected)
    assert left == [0]  # the residuals went as they were used


@pytest.mark.parametrize("sliced", [None, 64])
def test_frames_are_the_same_however_weights_wait(tiny_model, sliced):
    """Also one after the other in any order: what an enhancement leaves behind does not disturb the next."""
    pipeline = load_pipeline(tiny_model)
    clip = describe_frames(4, 16, 24, Fraction(8))
    settings = parse_settings(scale=2, shots=False, model=str(tiny_model))
    plan = make_plan(clip, settings, pipeline.traits)
    pictures = np.random.default_rng(0).integers(0, 255, (4, 16, 24, 3), dtype=np.uint8)

    def frames(offload):
        execution = Execution(slice_tokens=sliced, batches_guidance=False, offload=offload)
        how = replace(plan, layout=replace(plan.layout, execution=execution))
        return np.stack(list(pipeline.enhance(how, lambda inputs: (pictures[index] for index in inputs))))

    whole = frames("none")
    for offload in ("groups", "components", "groups", "none"):
        assert np.array_equal(frames(offload), whole)
        assert in_groups(pipeline.unet) == in_groups(pipeline.controlnet) == (offload == "groups")


def test_adapters_change_weights_that_wait(tiny_model, tmp_path):
    from safetensors.torch import save_file

    pipelines = [load_pipeline(tiny_model) for _ in range(2)]
    name = next(name for name, _ in pipelines[0].unet.named_modules() if name.endswith("to_q"))
    layer, width = f"unet.{name}", pipelines[0].unet.get_submodule(name).weight.shape[0]
    values = {f"{layer}.lora_A.weight": torch.ones(1, width), f"{layer}.lora_B.weight": torch.ones(width, 1)}
    save_file(values, tmp_path / "adapters.safetensors", metadata={"venhancer": '{"scale": 0.5, "defaults": {}}'})
    arrange([pipelines[1].unet], CPU, "groups")
    for pipeline in pipelines:
        merge_adapters(pipeline, tmp_path / "adapters.safetensors")
    assert pipelines[0].fingerprint() == pipelines[1].fingerprint()


def test_only_the_component_that_is_needed_is_on_the_device():
    """`meta` stands for a device with memory of its own."""
    device, parts = torch.device("meta"), [torch.nn.Linear(2, 2), unet(), controlnet()]
    arrange(parts, device, "components")
    assert [next(part.parameters()).device.type for part in parts] == ["cpu"] * 3
    bring([parts[1]], parts, device, "components")
    assert [next(part.parameters()).device.type for part in parts] == ["cpu", "meta", "cpu"]


def test_everything_is_on_the_device_while_nothing_waits():
    device, parts = torch.device("meta"), [torch.nn.Linear(2, 2), unet()]
    arrange(parts, device, "none")
    assert {values.device.type for part in parts for values in part.parameters()} == {"meta"}


@pytest.mark.parametrize("make", [ImageAutoencoder, VideoAutoencoder])
def test_autoencoders_come_and_go_whole(make):
    down = {"down_block_types": ("DownEncoderBlock2D",), "block_out_channels": (32,), "layers_per_block": 1}
    autoencoder = make(**down)
    arrange([autoencoder], torch.device("meta"), "groups")
    assert not in_groups(autoencoder)
    bring([autoencoder], [autoencoder], torch.device("meta"), "groups")
    assert {values.device.type for values in autoencoder.parameters()} == {"meta"}
