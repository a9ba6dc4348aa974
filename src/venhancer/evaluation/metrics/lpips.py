"""Learned perceptual distance (Zhang et al. 2018), with weights that the user names."""

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from venhancer.evaluation.metrics.features import (
    VGG16,
    Distance,
    Features,
    Maps,
    Weights,
    mean_distance,
    unit_distance,
    unit_maps,
    vgg16,
)
from venhancer.evaluation.metrics.metric import metric
from venhancer.frames.levels import Frames

ALEXNET = ((0,), (3,), (6,), (8,), (10,))
"""Convolutions by their place in torchvision's network."""

_ALEXNET_CORE = 11
"""Side of AlexNet's first convolution, which VGG-16 does not have."""


@metric("perceived difference of frames (AlexNet or VGG-16, by the weights)", higher_is_better=False)
def lpips(result: Frames, reference: Frames, weights: Path) -> float:
    """Return the perceptual distance, the mean over frames, with AlexNet or VGG-16.

    `weights` is a file of the whole distance, or a folder of the network's and the distance's.

    Raises:
        WeightsError: the weights cannot be read, or belong to another network.
    """
    return mean_distance(load_lpips(weights), result, reference)


@cache
def load_lpips(path: Path) -> Distance:
    """Return the distance with weights of a file or folder; raises as `lpips` does."""
    return unit_distance(*_network(path))


@cache
def load_lpips_maps(path: Path) -> Maps:
    """Return where pictures differ, by the same network; raises as `lpips` does."""
    return unit_maps(*_network(path))


def _network(path: Path) -> tuple[Weights, Sequence[Sequence[int]], Features]:
    weights = Weights(path)
    is_alexnet = weights["0.weight"].shape[-1] == _ALEXNET_CORE
    return weights, ALEXNET if is_alexnet else VGG16, partial(_alexnet if is_alexnet else vgg16, weights)


def _alexnet(weights: Weights, x: Float[Tensor, "n 3 h w"]) -> list[Tensor]:
    first = F.relu(weights.convolve(x, 0, stride=4, padding=2))
    second = F.relu(weights.convolve(F.max_pool2d(first, 3, stride=2), 3, padding=2))
    third = F.relu(weights.convolve(F.max_pool2d(second, 3, stride=2), 6))
    fourth = F.relu(weights.convolve(third, 8))
    return [first, second, third, fourth, F.relu(weights.convolve(fourth, 10))]
