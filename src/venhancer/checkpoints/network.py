"""`VideoUNet` and `VideoControlNet` from a published checkpoint; `venhancer.checkpoints.keys` has names and layouts."""

import torch
from diffusers.models.modeling_utils import ModelMixin

from venhancer.checkpoints.component import Component
from venhancer.checkpoints.keys import CONTROL_PREFIX, config_of, published_keys, to_ours, to_published
from venhancer.checkpoints.reading import Shape, TensorFile
from venhancer.errors import WeightsError
from venhancer.models import VideoControlNet, VideoUNet

WHAT = "a VEnhancer checkpoint"


def network_components(source: TensorFile) -> list[Component]:
    """Return base network and ControlNet as configured by the shapes in the file.

    Both releases hold the same 2,180 tensors in the same shapes; so does a network of any other width or depth.

    Raises:
        WeightsError: names or shapes are not those of such a network.
    """
    unet, controlnet = _build(source)
    names = {
        "unet": published_keys(unet.state_dict(), control=False),
        "controlnet": published_keys(controlnet.state_dict(), control=True),
    }
    expected = _published_shapes(unet, names["unet"]) | _published_shapes(controlnet, names["controlnet"])
    source.require(expected, WHAT)
    return [
        _component("unet", unet, names["unet"], source),
        _component("controlnet", controlnet, names["controlnet"], source),
    ]


def _build(source: TensorFile) -> tuple[VideoUNet, VideoControlNet]:
    try:
        config = config_of(source.shapes)
        if not all([*config.values(), *config["channel_mults"]]):
            raise ValueError("a width is 0")
        with torch.device("meta"):
            unet = VideoUNet(**config)
            config.pop("out_channels")
            return unet, VideoControlNet(**config)
    except (KeyError, IndexError) as error:
        known = sum(key.startswith(("input_blocks.", "output_blocks.", CONTROL_PREFIX)) for key in source.shapes)
        raise WeightsError(
            f"{source.path} is not {WHAT}: {error} is missing, and only {known} of its {len(source.shapes)} tensors "
            f"have the right names; pass venhancer_paper.pt or venhancer_v2.pt"
        ) from error
    except (ValueError, ZeroDivisionError) as error:
        raise WeightsError(
            f"{source.path} is not {WHAT}: its shapes form no network ({error}); pass venhancer_paper.pt or "
            f"venhancer_v2.pt"
        ) from error


def _published_shapes(network: ModelMixin, names: dict[str, str]) -> dict[str, Shape]:
    values = network.state_dict()
    return {published: tuple(to_published(published, values[ours]).shape) for published, ours in names.items()}


def _component(name: str, network: ModelMixin, names: dict[str, str], source: TensorFile) -> Component:
    published = {ours: theirs for theirs, ours in names.items()}
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    return Component(name, network, lambda key: to_ours(source.read(published[key]), shapes[key]))
