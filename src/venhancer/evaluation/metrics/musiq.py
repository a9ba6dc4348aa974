"""MUSIQ (Ke et al. 2021): how good a picture of any size looks to people, without a truth; with two sets of weights."""

from functools import cache
from pathlib import Path

import numpy as np
import torch

from venhancer.evaluation.metrics.features import as_tensor
from venhancer.evaluation.metrics.metric import metric
from venhancer.evaluation.metrics.musiq_network import Musiq, load_musiq
from venhancer.frames.levels import Frames


@metric("how good pictures look, 0 to 100, by viewers of photographs (MUSIQ, KonIQ-10k)", higher_is_better=True)
def musiq_koniq(result: Frames, weights: Path) -> float:
    """Return MUSIQ trained on KonIQ-10k, the mean over frames; tables that say "MUSIQ" mean it.

    Raises:
        WeightsError: the weights cannot be read, or belong to another network.
    """
    return mean_musiq(result, weights)


@metric("how good pictures look, 0 to 100, by viewers of phone pictures (MUSIQ, SPAQ)", higher_is_better=True)
def musiq_spaq(result: Frames, weights: Path) -> float:
    """Return MUSIQ trained on SPAQ, the mean over frames; raises as `musiq_koniq` does."""
    return mean_musiq(result, weights)


@torch.inference_mode()
def mean_musiq(frames: Frames, weights: Path) -> float:
    """Return the mean over frames; raises as `musiq_koniq` does."""
    network = cached_musiq(weights)
    return float(np.mean([float(network(as_tensor(frame))) for frame in frames]))


@cache
def cached_musiq(weights: Path) -> Musiq:
    """Return the network, read once; raises as `musiq_koniq` does."""
    return load_musiq(weights)
