"""Perceptual distances of one kind: features of a network trained to recognise things, compared at several depths.

The networks are written down here as what they compute; their weights are read from files, which this package does
not contain.
"""

import pickle
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from venhancer.errors import WeightsError
from venhancer.evaluation.metrics.metric import Clip

State = Mapping[str, Tensor]
Features = Callable[[Float[Tensor, "n 3 h w"]], list[Tensor]]
"""Return the activations that are compared, from the shallowest on."""
Distance = Callable[[Float[Tensor, "n 3 h w"], Float[Tensor, "n 3 h w"]], Float[Tensor, "n"]]
"""Return how far apart pictures in [0, 1] look."""

ALEXNET = ((0,), (3,), (6,), (8,), (10,))
VGG16 = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
"""Convolutions by their place in torchvision's networks; what each row ends with is compared."""

_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Of colours in [-1, 1], as LPIPS has them."""

_LAYER = re.compile(r"(?:net\.slice\d+|features|stage\d+)\.(\d+)\.(weight|bias)")
_CHANNELS = re.compile(r"lins?\.?(\d)\.model\.\d\.weight")


def mean_distance(distance: Distance, result: Clip, reference: Clip) -> float:
    """Return the mean distance over the frames of two clips; equal frames have none, and need no network."""
    found = []
    with torch.inference_mode():
        for pair in zip(result, reference, strict=True):
            if np.array_equal(*pair):
                found.append(0.0)
                continue
            a, b = (torch.from_numpy(frame.copy()).movedim(-1, 0)[None].float() / 255 for frame in pair)
            found.append(float(distance(a, b)))
    return float(np.mean(found))


def read_weights(path: Path) -> State:
    """Return the tensors of a file, or of all files of a folder, layers named by their place: "0.weight", "lin0".

    Names may be those of torchvision's networks or of the programs LPIPS and DISTS.

    Raises:
        WeightsError: nothing there can be read.
    """
    files = (
        [path] if path.is_file() else sorted(f for f in path.glob("*") if f.suffix in {".pth", ".pt", ".safetensors"})
    )
    if not files:
        raise WeightsError(f"{path} holds no weights; name a .pth, .pt or .safetensors file, or a folder of them")
    state: dict[str, Tensor] = {}
    for file in files:
        state |= {_plain_name(name): value.float() for name, value in _read(file).items()}
    return state


def take(state: State, name: str, path: Path) -> Tensor:
    """Return a tensor.

    Raises:
        WeightsError: it is not there.
    """
    if name not in state:
        raise WeightsError(f"{path} holds no {name}; name the weights of the right network")
    return state[name]


def convolve(x: Tensor, state: State, place: int, *, stride: int = 1, padding: int = 1) -> Tensor:
    """Return the convolution at a place."""
    return F.conv2d(x, state[f"{place}.weight"], state[f"{place}.bias"], stride=stride, padding=padding)


def check_layers(state: State, stages: Sequence[Sequence[int]], path: Path) -> None:
    """Raise unless every convolution of a network is there.

    Raises:
        WeightsError: one is missing.
    """
    for place in (place for stage in stages for place in stage):
        for part in ("weight", "bias"):
            take(state, f"{place}.{part}", path)


def _halve(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h2 w2"]:
    return F.max_pool2d(x, 2)


def vgg16(
    state: State,
    x: Float[Tensor, "n 3 h w"],
    *,
    pool: Callable[[Tensor], Tensor] = _halve,
) -> list[Tensor]:
    """Return the last activations of VGG-16's five stages."""
    found: list[Tensor] = []
    for number, stage in enumerate(VGG16):
        x = pool(x) if number else x
        for place in stage:
            x = F.relu(convolve(x, state, place))
        found.append(x)
    return found


def unit_distance(features: Features, channel_weights: Sequence[Tensor], a: Tensor, b: Tensor) -> Float[Tensor, "n"]:
    """Return the weighted squared distance of features of unit length (Zhang et al. 2018, eq. 1)."""
    distance = a.new_zeros(len(a))
    shift, scale = (a.new_tensor(values).view(1, 3, 1, 1) for values in (_SHIFT, _SCALE))
    a, b = (((x * 2 - 1) - shift) / scale for x in (a, b))
    for x, y, weight in zip(features(a), features(b), channel_weights, strict=True):
        difference = (_unit(x) - _unit(y)) ** 2
        distance = distance + (difference * weight.view(1, -1, 1, 1)).sum(dim=1).mean(dim=(1, 2))
    return distance


def _unit(x: Tensor) -> Tensor:
    return x / (x.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)


def _plain_name(name: str) -> str:
    if layer := _LAYER.search(name):
        return f"{layer[1]}.{layer[2]}"
    channels = _CHANNELS.search(name)
    return f"lin{channels[1]}" if channels else name


def _read(file: Path) -> dict[str, Tensor]:
    try:
        state = (
            load_file(file)
            if file.suffix == ".safetensors"
            else torch.load(file, map_location="cpu", weights_only=True)
        )
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        raise WeightsError(
            f"{file} cannot be read ({' '.join(str(error).split())[:120]}); download it again"
        ) from error
    return {name: value for name, value in dict(state).items() if isinstance(value, Tensor)}
