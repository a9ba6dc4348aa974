"""Learned perceptual distance (Zhang et al. 2018), with weights that the user names."""

from functools import cache, partial
from pathlib import Path

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from venhancer.evaluation.metrics import features
from venhancer.evaluation.metrics.features import ALEXNET, VGG16, Distance, State, convolve
from venhancer.evaluation.metrics.metric import Clip, Metric

_ALEXNET_CORE = 11
"""Side of AlexNet's first convolution, which VGG-16 does not have."""


def lpips(result: Clip, reference: Clip, weights: Path) -> float:
    """Return the perceptual distance, the mean over frames.

    Args:
        result: the clip to judge.
        reference: the truth.
        weights: a file of the whole distance, or a folder of the network's and the distance's; AlexNet or VGG-16.

    Raises:
        WeightsError: the weights cannot be read, or belong to another network.
    """
    return features.mean_distance(load_lpips(weights), result, reference)


@cache
def load_lpips(path: Path) -> Distance:
    """Return the distance with weights of a file or folder.

    Raises:
        WeightsError: they cannot be read, or belong to another network.
    """
    state = features.read_weights(path)
    is_alexnet = features.take(state, "0.weight", path).shape[-1] == _ALEXNET_CORE
    stages = ALEXNET if is_alexnet else VGG16
    features.check_layers(state, stages, path)
    channel_weights = [features.take(state, f"lin{number}", path) for number in range(len(stages))]
    activations = partial(_alexnet if is_alexnet else features.vgg16, state)

    def distance(a: Float[Tensor, "n 3 h w"], b: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n"]:
        return features.unit_distance(activations, channel_weights, a, b)

    return distance


def _alexnet(state: State, x: Float[Tensor, "n 3 h w"]) -> list[Tensor]:
    first = F.relu(convolve(x, state, 0, stride=4, padding=2))
    second = F.relu(convolve(F.max_pool2d(first, 3, stride=2), state, 3, padding=2))
    third = F.relu(convolve(F.max_pool2d(second, 3, stride=2), state, 6))
    fourth = F.relu(convolve(third, state, 8))
    return [first, second, third, fourth, F.relu(convolve(fourth, state, 10))]


METRIC = Metric(
    name="lpips",
    measure=lpips,
    takes=("result", "reference", "weights"),
    what="how different frames look (AlexNet or VGG-16, by the weights named)",
    higher_is_better=False,
    needs_weights=True,
)
