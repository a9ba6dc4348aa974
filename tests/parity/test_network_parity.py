"""The published networks' numbers, from the published names and layouts, through our conversion and our classes."""

import hashlib

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.testing import assert_close

from stand_ins import GOLDEN, NARROW, Tensors, filled, network_shapes, reference_input
from venhancer.checkpoints.keys import config_of
from venhancer.checkpoints.network import network_components
from venhancer.checkpoints.reading import TensorFile
from venhancer.models import KeyFrames, VideoControlNet, VideoUNet

TINY = {"base_channels": 64, "head_dim": 32, "text_dim": 32}
MASKS = {"v1": lambda mask: mask == 0, "v2": lambda mask: mask >= 0}
CASES = {
    "v1_b1_t500": (500, "hint.b1", MASKS["v1"](torch.tensor([[0, 1, 1, 0, 1]]))),
    "v1_b1_t999": (999, "hint.b1", MASKS["v1"](torch.tensor([[0, 1, 1, 0, 1]]))),
    "v1_allkey": (500, "hint.allkey", MASKS["v1"](torch.tensor([[0, 0, 0, 0, 0]]))),
    "v1_f1": (500, "hint.f1", MASKS["v1"](torch.tensor([[0]]))),
    "v1_nohint": (500, None, None),
    "v2_b1_t500": (500, "hint.b1", MASKS["v2"](torch.tensor([[0, -1, -1, 1, -1]]))),
}
Networks = tuple[VideoUNet, VideoControlNet]


def converted(weights: Tensors) -> Networks:
    """Return both networks with weights of the published names, through the project's own conversion."""
    shapes = {key: tuple(value.shape) for key, value in weights.items()}
    source = TensorFile(GOLDEN, shapes, weights.__getitem__)
    networks = []
    for component in network_components(source):
        values = {key: component.read(key) for key in component.model.state_dict()}
        component.model.load_state_dict(values, assign=True)
        networks.append(component.model.eval())
    return networks[0], networks[1]


@pytest.fixture(scope="module")
def weights() -> Tensors:
    return filled(network_shapes(TINY))


@pytest.fixture(scope="module")
def networks(weights: Tensors) -> Networks:
    return converted(weights)


@pytest.fixture(scope="module")
def narrow() -> Networks:
    deep = {"channel_mults": (1, 2, 2, 2), "attention_levels": (True, True, True, False)}
    return converted(filled(network_shapes(NARROW | deep)))


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return load_file(GOLDEN / "tiny_network.safetensors")


def key_frames_of(case: str) -> KeyFrames | None:
    _, name, mask = CASES[case]
    if name is None:
        return None
    latents = reference_input(name, (1, 4, int(mask.sum()), 18, 16))
    return KeyFrames(latents, mask, torch.tensor([199]), torch.tensor([4.0]))


@torch.no_grad()
def predict(
    networks: Networks, latents: Tensor, timesteps: Tensor, key_frames: KeyFrames | None, text: Tensor
) -> Tensor:
    unet, controlnet = networks
    residuals = controlnet(latents, timesteps, controlnet.project_text(text), key_frames)
    return unet(latents, timesteps, unet.project_text(text), residuals)


def inputs_of(case: str) -> tuple[Tensor, Tensor]:
    one_frame = case.endswith("f1")
    latents = reference_input("x.f1" if one_frame else "x.b1", (1, 4, 1 if one_frame else 5, 18, 16))
    return latents, reference_input("y.b1", (1, 77, 32))


def test_formula_gives_the_reference_weights(weights: Tensors):
    """The other numbers here mean nothing if the random generator has changed."""
    digest = hashlib.sha256()
    for key in sorted(weights):
        digest.update(weights[key].numpy().data)
    assert digest.hexdigest() == "d3edcf1f2b78b6b9fef2df7f9f0ab6c762f6c73897b44de3c20c3fbf43627663"


def test_names_and_shapes_are_the_published_ones():
    """All 2,180 of them at full size, as one number."""
    lines = sorted(f"{key} {'x'.join(map(str, shape))}" for key, shape in network_shapes({}).items())
    assert len(lines) == 2180
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    assert digest == "f73c98a31aec4ce9c65046d94ef2c5a9a3682ff513b8f91b231c32f1d03dc4bb"


@pytest.mark.parametrize(
    "config",
    [
        {},
        TINY,
        {**TINY, "channel_mults": (1, 3), "attention_levels": (False, True), "blocks_per_level": 3},
        {**TINY, "channel_mults": (2, 2, 4), "attention_levels": (False, False, False), "in_channels": 7},
    ],
)
def test_configuration_is_read_off_the_shapes(config: dict):
    with torch.device("meta"):
        unet = VideoUNet(**config)
    read = config_of(network_shapes(config))
    assert {name: unet.config[name] for name in read} == {
        name: tuple(value) if isinstance(value, list) else value for name, value in read.items()
    }


@pytest.mark.parametrize("case", CASES)
def test_prediction_is_the_published_one(networks: Networks, golden: dict[str, Tensor], case: str):
    latents, text = inputs_of(case)
    timesteps = torch.tensor([CASES[case][0]])
    predicted = predict(networks, latents, timesteps, key_frames_of(case), text)
    assert_close(predicted, golden[f"{case}/out"], rtol=0, atol=2e-5)


def test_base_network_alone_is_the_published_one(networks: Networks, golden: dict[str, Tensor]):
    unet = networks[0]
    latents, text = inputs_of("v1_b1_t500")
    with torch.no_grad():
        predicted = unet(latents, torch.tensor([500]), unet.project_text(text))
    assert_close(predicted, golden["v1_base_only/out"], rtol=0, atol=2e-5)


def modules_by_published_name(networks: Networks) -> dict[str, nn.Module]:
    unet, controlnet = networks
    control = "VideoControlNet."
    return (
        {
            "time_embed": unet.encoder.time_embed,
            "input_blocks.0.0": unet.encoder.conv_in,
            "input_blocks.0.1": unet.encoder.entry,
            "input_blocks.1.0": unet.encoder.stages[0][0],
            "input_blocks.1.1": unet.encoder.stages[0][1],
            "input_blocks.1.2": unet.encoder.stages[0][2],
            "input_blocks.3": unet.encoder.stages[2],
            "middle_block.3": unet.encoder.middle[3],
            "output_blocks.0.0": unet.decoder[0][0],
            "output_blocks.2.1": unet.decoder[2][1],
            "output_blocks.11.2": unet.decoder[11][2],
            control + "time_embed": controlnet.encoder.time_embed,
            control + "hint_time_zero_linear": controlnet.noise_embed,
            control + "scale_cond": controlnet.downscale_embed,
            control + "input_hint_block": controlnet.key_frame_conv,
            control + "input_blocks.0.1": controlnet.encoder.entry,
            control + "input_blocks.1.0": controlnet.encoder.stages[0][0],
        }
        | {f"control.{number:02d}": conv for number, conv in enumerate(controlnet.zero_convs)}
        | {"control.12": controlnet.middle_zero_conv}
    )


def as_stored(activation: Tensor, stored: Tensor) -> Tensor:
    """Every 16th channel is stored; behind layers along time in `b c f h w`."""
    if activation.dim() == 2:
        return activation
    if stored.dim() == 5:
        activation = activation.transpose(0, 1)[None]
    return activation[:, ::16]


def test_activations_on_the_way_are_the_published_ones(networks: Networks, golden: dict[str, Tensor]):
    """A wrong layer cannot hide behind later ones."""
    seen: dict[str, list[Tensor]] = {}
    modules = modules_by_published_name(networks)
    hooks = [
        module.register_forward_hook(lambda _, __, output, name=name: seen.setdefault(name, []).append(output.clone()))
        for name, module in modules.items()
    ]
    with_key_frames = "VideoControlNet.input_blocks.0.0"
    hooks.append(
        networks[1].encoder.entry.register_forward_pre_hook(
            lambda _, inputs: seen.setdefault(with_key_frames, []).append(inputs[0].clone())
        )
    )
    latents, text = inputs_of("v1_b1_t500")
    predict(networks, latents, torch.tensor([500]), key_frames_of("v1_b1_t500"), text)
    for hook in hooks:
        hook.remove()

    stored = {name.removeprefix("act/"): value for name, value in golden.items() if name.startswith("act/")}
    assert stored.keys() == modules.keys() | {with_key_frames}
    for name, value in stored.items():
        error = min(float((as_stored(each, value) - value).abs().max()) for each in seen[name])
        assert error < 1e-5 * float(value.abs().max()), name


def test_two_clips_at_once_are_two_runs(narrow: Networks):
    """Clips of a batch do not mix, and each has its own key frames."""
    latents = reference_input("pair.x", (2, 4, 5, 18, 16))
    text = reference_input("pair.y", (2, 77, 16))
    timesteps = torch.tensor([500, 81])
    pair = KeyFrames(
        reference_input("pair.hint", (2, 4, 2, 18, 16)),
        torch.tensor([[True, False, False, True, False], [False, False, True, False, True]]),
        torch.tensor([199, 20]),
        torch.tensor([4.0, 1.5]),
    )
    together = predict(narrow, latents, timesteps, pair, text)
    for clip in range(2):
        one = slice(clip, clip + 1)
        alone = predict(narrow, latents[one], timesteps[one], KeyFrames(*(part[one] for part in pair)), text[one])
        assert_close(together[one], alone, rtol=0, atol=2e-5)


@pytest.mark.parametrize(("height", "width"), [(2, 8), (10, 8), (18, 40), (26, 24), (34, 40)])
def test_every_size_of_the_published_grid_fits(narrow: Networks, height: int, width: int):
    """Heights of 8k+2 and widths of 8k, odd multiples among them."""
    latents = reference_input("size.x", (1, 4, 2, height, width))
    text = reference_input("size.y", (1, 7, 16))
    key_frames = KeyFrames(latents[:, :, :1], torch.tensor([[True, False]]), torch.tensor([0]), torch.tensor([2.0]))
    predicted = predict(narrow, latents, torch.tensor([3]), key_frames, text)
    assert predicted.shape == latents.shape
    assert predicted.isfinite().all()
