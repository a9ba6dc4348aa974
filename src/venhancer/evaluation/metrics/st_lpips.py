"""Shift-tolerant perceptual distance (Ghildyal and Liu 2022): how alike two pictures look, forgiving a pixel's shift.

AlexNet with blurred, denser steps. Only the weight file of the package `stlpips-pytorch` is read.
"""

from functools import cache, partial

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from venhancer.evaluation.metrics.features import Distance, Weights, halve, mean_distance, unit_distance
from venhancer.evaluation.metrics.metric import metric
from venhancer.frames.levels import Frames
from venhancer.model_files.folders import packaged_weights

_STAGES = ((0,), (5,), (9,), (11,), (13,))
"""Convolutions by their place in the published file."""


@metric(
    "perceived difference of frames (AlexNet) that forgives shifts of a pixel",
    higher_is_better=False,
    packages=("stlpips_pytorch",),
)
def st_lpips(result: Frames, reference: Frames) -> float:
    """Return the shift-tolerant perceptual distance, the mean over frames.

    Raises:
        WeightsError: `stlpips-pytorch` is not installed, or damaged.
    """
    return mean_distance(load_st_lpips(), result, reference)


@cache
def load_st_lpips() -> Distance:
    """Return the distance with the weights of the package `stlpips-pytorch`, none of whose code is run."""
    weights = Weights(packaged_weights("alex_shift_tolerant.pth", "st_lpips"))
    return unit_distance(weights, _STAGES, partial(_activations, weights))


def _activations(weights: Weights, x: Float[Tensor, "n 3 h w"]) -> list[Tensor]:
    first = F.relu(_halve(weights.convolve(x, 0, padding=2)))
    second = F.relu(weights.convolve(_halve(F.max_pool2d(first, 3, stride=1)), 5, padding=2))
    third = F.relu(weights.convolve(_halve(F.max_pool2d(second, 3, stride=1)), 9))
    fourth = F.relu(weights.convolve(third, 11))
    return [first, second, third, fourth, F.relu(weights.convolve(fourth, 13))]


def _halve(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h2 w2"]:
    """Return every second pixel after a binomial blur, with two mirrored pixels around."""
    return halve(F.pad(x, (2, 2, 2, 2), mode="reflect"), padding=0)
