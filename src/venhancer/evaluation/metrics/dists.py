"""Structure and texture similarity (Ding et al. 2020): forgives textures that differ but look the same."""

from functools import cache, partial
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from venhancer.errors import WeightsError
from venhancer.evaluation.metrics.features import VGG16, Distance, Weights, halve, mean_distance, vgg16
from venhancer.evaluation.metrics.metric import metric
from venhancer.frames.levels import Frames

_CHANNELS = (3, 64, 128, 256, 512, 512)
"""Of the picture itself and the five stages."""

_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_STABLE = 1e-6


@metric("difference of structures and textures (VGG-16)", higher_is_better=False)
def dists(result: Frames, reference: Frames, weights: Path) -> float:
    """Return the distance of structure and texture, the mean over frames.

    `weights` is a folder of VGG-16's weights and the file of `alpha` and `beta`, or one file of both.

    Raises:
        WeightsError: the weights cannot be read, or belong to another network.
    """
    return mean_distance(load_dists(weights), result, reference)


@cache
def load_dists(path: Path) -> Distance:
    """Return the distance with weights of a file or folder; raises as `dists` does."""
    weights = Weights(path)
    weights.check(VGG16)
    textures, structures = (weights[name].flatten() for name in ("alpha", "beta"))
    if len(textures) != sum(_CHANNELS) or len(structures) != sum(_CHANNELS):
        sizes = f"alpha and beta of {len(textures)} and {len(structures)} channels"
        raise WeightsError(f"{path} holds {sizes}, not {sum(_CHANNELS)}; pass DISTS's own file")
    total = textures.sum() + structures.sum()
    shares = list(zip((textures / total).split(_CHANNELS), (structures / total).split(_CHANNELS), strict=True))
    activations = partial(vgg16, weights, pool=_blurred_pool)

    def distance(a: Float[Tensor, "n 3 h w"], b: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n"]:
        mean, spread = (torch.tensor(values).view(1, 3, 1, 1) for values in (_MEAN, _SPREAD))
        pairs = [(a, b), *zip(activations((a - mean) / spread), activations((b - mean) / spread), strict=True)]
        return 1 - torch.stack([_similarity(x, y, *pair) for (x, y), pair in zip(pairs, shares, strict=True)]).sum(0)

    return distance


def _similarity(x: Tensor, y: Tensor, texture: Tensor, structure: Tensor) -> Float[Tensor, "n"]:
    """Return the weighted similarity of the means and of the variations of each channel (eq. 4 to 6)."""
    mean_x, mean_y = x.mean(dim=(2, 3)), y.mean(dim=(2, 3))
    of_means = (2 * mean_x * mean_y + _STABLE) / (mean_x**2 + mean_y**2 + _STABLE)
    spread = x.var(dim=(2, 3), correction=0) + y.var(dim=(2, 3), correction=0)
    shared = (x * y).mean(dim=(2, 3)) - mean_x * mean_y
    return (texture * of_means + structure * (2 * shared + _STABLE) / (spread + _STABLE)).sum(dim=1)


def _blurred_pool(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h2 w2"]:
    """Return the root of the mean square around every second pixel, under a Hann window."""
    return (halve(x**2, padding=1) + 1e-12).sqrt()
