"""Perceptual distances of one kind: features of a network trained to recognise things, compared at several depths.

The networks are written down here as what they compute; their weights are read from files, which this package does
not contain.
"""

import pickle
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from venhancer.errors import WeightsError
from venhancer.frames.levels import Frames

Features = Callable[[Float[Tensor, "n 3 h w"]], list[Tensor]]
"""Return the activations that are compared, from the shallowest on."""
Distance = Callable[[Float[Tensor, "n 3 h w"], Float[Tensor, "n 3 h w"]], Float[Tensor, "n"]]
"""Return how far apart pictures in [0, 1] look."""
Maps = Callable[[Float[Tensor, "n 3 h w"], Float[Tensor, "n 3 h w"]], list[Float[Tensor, "n _ _"]]]
"""Return how far apart pictures in [0, 1] look at each place, a map for each depth, from the shallowest on."""

VGG16 = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
"""Convolutions by their place in torchvision's network; what each row ends with is compared."""

_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Of colours in [-1, 1], as LPIPS has them."""

_LAYER = re.compile(r"(?:net\.slice\d+|features|stage\d+)\.(\d+)\.(weight|bias)")
_CHANNELS = re.compile(r"lins?\.?(\d)\.model\.\d\.weight")


class Weights:
    """The tensors of a file, or of all files of a folder, layers named by their place: "0.weight", "lin0".

    Names in files may be those of torchvision's networks or of the programs LPIPS and DISTS.

    Args:
        path: of the file or folder.

    Raises:
        WeightsError: nothing there can be read.
    """

    def __init__(self, path: Path) -> None:
        suffixes = {".pth", ".pt", ".safetensors"}
        files = [path] if path.is_file() else sorted(f for f in path.glob("*") if f.suffix in suffixes)
        if not files:
            raise WeightsError(
                f"{path} contains no weights; pass a .pth, .pt or .safetensors file, or a folder of them"
            )
        self.path = path
        contents = [read_tensors(file) for file in files]
        self.tensors = {_plain_name(name): value.float() for one in contents for name, value in one.items()}

    def __getitem__(self, name: str) -> Tensor:
        """Return a tensor.

        Raises:
            WeightsError: it does not exist.
        """
        if name not in self.tensors:
            raise WeightsError(f"{self.path} contains no {name}; pass the weights of the right network")
        return self.tensors[name]

    def check(self, stages: Sequence[Sequence[int]]) -> None:
        """Raise unless every convolution of a network is there.

        Raises:
            WeightsError: one is missing.
        """
        for place in (place for stage in stages for place in stage):
            for part in ("weight", "bias"):
                _ = self[f"{place}.{part}"]

    def convolve(self, x: Tensor, place: int, *, stride: int = 1, padding: int = 1) -> Tensor:
        """Return the convolution at a place."""
        return F.conv2d(x, self[f"{place}.weight"], self[f"{place}.bias"], stride=stride, padding=padding)


def mean_distance(distance: Distance, result: Frames, reference: Frames) -> float:
    """Return the mean distance over the frames of two clips; equal frames have none, and need no network."""
    distances = []
    with torch.inference_mode():
        for pair in zip(result, reference, strict=True):
            a, b = (as_tensor(frame) for frame in pair)
            distances.append(0.0 if torch.equal(a, b) else float(distance(a, b)))
    return float(np.mean(distances))


def as_tensor(frame: UInt8[np.ndarray, "h w 3"]) -> Float[Tensor, "1 3 h w"]:
    """Return a frame as a picture in [0, 1]."""
    return torch.from_numpy(frame.copy()).movedim(-1, 0)[None].float() / 255


def vgg16(
    weights: Weights, x: Float[Tensor, "n 3 h w"], *, pool: Callable[[Tensor], Tensor] | None = None
) -> list[Tensor]:
    """Return the last activations of VGG-16's five stages; between them its own pooling, or another."""
    activations: list[Tensor] = []
    for number, stage in enumerate(VGG16):
        if number:
            x = pool(x) if pool else F.max_pool2d(x, 2)
        for place in stage:
            x = F.relu(weights.convolve(x, place))
        activations.append(x)
    return activations


def unit_distance(weights: Weights, stages: Sequence[Sequence[int]], features: Features) -> Distance:
    """Return the weighted squared distance of features of unit length (Zhang et al. 2018, eq. 1).

    Args:
        weights: of the network and of its channels.
        stages: the network's convolutions.
        features: its activations.

    Raises:
        WeightsError: the weights are of another network.
    """
    maps = unit_maps(weights, stages, features)

    def distance(a: Float[Tensor, "n 3 h w"], b: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n"]:
        return torch.stack([one.mean(dim=(1, 2)) for one in maps(a, b)]).sum(dim=0)

    return distance


def unit_maps(weights: Weights, stages: Sequence[Sequence[int]], features: Features) -> Maps:
    """Return where pictures differ, of which `unit_distance` is the mean; raises as that does."""
    weights.check(stages)
    by_stage = [weights[f"lin{number}"].view(1, -1, 1, 1) for number in range(len(stages))]

    def maps(a: Float[Tensor, "n 3 h w"], b: Float[Tensor, "n 3 h w"]) -> list[Float[Tensor, "n _ _"]]:
        shift, scale = (a.new_tensor(values).view(1, 3, 1, 1) for values in (_SHIFT, _SCALE))
        pairs = zip(*(features(((x * 2 - 1) - shift) / scale) for x in (a, b)), by_stage, strict=True)
        return [((_unit(x) - _unit(y)) ** 2 * channels).sum(dim=1) for x, y, channels in pairs]

    return maps


def halve(x: Float[Tensor, "n c h w"], *, padding: int) -> Float[Tensor, "n c h2 w2"]:
    """Return every second pixel after a blur of (1 2 1) / 4 both ways, with so many zeros around."""
    taps = torch.tensor([0.25, 0.5, 0.25])
    kernel = torch.outer(taps, taps).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(x, kernel, stride=2, padding=padding, groups=x.shape[1])


def _unit(x: Tensor) -> Tensor:
    return x / (x.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)


def _plain_name(name: str) -> str:
    if layer := _LAYER.search(name):
        return f"{layer[1]}.{layer[2]}"
    channels = _CHANNELS.search(name)
    return f"lin{channels[1]}" if channels else name


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name; nothing in it is run. Those within "params" or "state_dict" count too.

    Raises:
        WeightsError: it cannot be read.
    """
    is_safe = file.suffix == ".safetensors"
    try:
        state: Any = load_file(file) if is_safe else torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:120]
        raise WeightsError(f"{file} cannot be read ({reason}); download it again") from error
    for inner in ("params", "state_dict"):
        state = state.get(inner, state) if isinstance(state, dict) else state
    return {name: value for name, value in dict(state).items() if isinstance(value, Tensor)}
