"""Shift-tolerant perceptual distance (Ghildyal and Liu 2022): how alike two pictures look, forgiving a pixel's shift.

AlexNet with blurred, denser steps. Only the weight file of the package `stlpips-pytorch` is read.
"""

from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from venhancer.errors import WeightsError
from venhancer.evaluation.metrics import features
from venhancer.evaluation.metrics.features import Distance, State, convolve, mean_distance, read_weights, unit_distance
from venhancer.evaluation.metrics.metric import Clip, Metric

_STAGES = ((0,), (5,), (9,), (11,), (13,))
"""Convolutions by their place in the published file."""


def st_lpips(result: Clip, reference: Clip) -> float:
    """Return the shift-tolerant perceptual distance, the mean over frames.

    Raises:
        WeightsError: `stlpips-pytorch` is not installed, or damaged.
    """
    return mean_distance(load_st_lpips(), result, reference)


@cache
def load_st_lpips() -> Distance:
    """Return the distance with the weights of the package `stlpips-pytorch`, none of whose code is run.

    Raises:
        WeightsError: it is not installed, or damaged.
    """
    spec = find_spec("stlpips_pytorch")
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError("st_lpips needs weights: run pip install --no-deps stlpips-pytorch==0.0.2")
    path = Path(spec.submodule_search_locations[0]) / "weights" / "vST0.0" / "alex_shift_tolerant.pth"
    state = read_weights(path)
    features.check_layers(state, _STAGES, path)
    weights = [features.take(state, f"lin{number}", path) for number in range(len(_STAGES))]

    def distance(a: Float[Tensor, "n 3 h w"], b: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n"]:
        return unit_distance(partial(_activations, state), weights, a, b)

    return distance


def _activations(state: State, x: Float[Tensor, "n 3 h w"]) -> list[Tensor]:
    first = F.relu(_halve(convolve(x, state, 0, padding=2)))
    second = F.relu(convolve(_halve(F.max_pool2d(first, 3, stride=1)), state, 5, padding=2))
    third = F.relu(convolve(_halve(F.max_pool2d(second, 3, stride=1)), state, 9))
    fourth = F.relu(convolve(third, state, 11))
    return [first, second, third, fourth, F.relu(convolve(fourth, state, 13))]


def _halve(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h2 w2"]:
    """Return every second pixel after a blur of (1 2 1) / 4 both ways, with two mirrored pixels around."""
    taps = torch.tensor([0.25, 0.5, 0.25])
    kernel = torch.outer(taps, taps).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), kernel, stride=2, groups=x.shape[1])


METRIC = Metric(
    name="st_lpips",
    measure=st_lpips,
    takes=("result", "reference"),
    what="how different frames look (AlexNet), forgiving shifts of a pixel",
    higher_is_better=False,
    packages=("stlpips_pytorch",),
)
