"""DOVER (Wu et al. 2023): how good a film looks, by its technique and by its looks, without a truth.

Two traps. Its crops and moments are drawn at random, and its program draws others each time: here one seed draws them.
Frames are made small without antialiasing, as PyTorch's resizing of its time did it.
"""

from functools import cache
from math import exp
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Generator, Tensor

from venhancer.evaluation.metrics.dover_network import CROPS, FRAMES, SIDE, Dover, load_dover
from venhancer.evaluation.metrics.metric import metric
from venhancer.frames.levels import Frames

CLIPS, INTERVAL = 3, 2
"""Clips judged for technique, and from how many frames one is taken."""

_CROP = SIDE // CROPS
_MEAN, _SPREAD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
_TECHNICAL, _AESTHETIC = (0.1107, 0.07355), (-0.08285, 0.03774)
"""Mean and spread of raw scores of films, which put both on one scale."""

_SHARES = (0.6104, 0.3896)


@metric("how good films look, 0 to 1: technique and looks together (DOVER)", higher_is_better=True)
def dover(result: Frames, weights: Path) -> float:
    """Return the fused score.

    Raises:
        WeightsError: the weights cannot be read, or belong to another network.
    """
    technique, looks = _judge(result, weights)
    return _between(_SHARES[0] * technique + _SHARES[1] * looks)


@metric("how good films look, 0 to 1: technique alone (DOVER)", higher_is_better=True, weights_of="dover")
def dover_technical(result: Frames, weights: Path) -> float:
    """Return the score of technique; raises as `dover` does."""
    return _between(_judge(result, weights)[0])


@metric("how good films look, 0 to 1: looks alone (DOVER)", higher_is_better=True, weights_of="dover")
def dover_aesthetic(result: Frames, weights: Path) -> float:
    """Return the score of looks; raises as `dover` does."""
    return _between(_judge(result, weights)[1])


@torch.inference_mode()
def _judge(frames: Frames, weights: Path) -> tuple[float, float]:
    """Return how far technique and looks are above the usual, in spreads of films."""
    scores = _network(weights)(technical_view(frames), aesthetic_view(frames))
    scales = (_TECHNICAL, _AESTHETIC)
    technique, looks = ((float(one) - mean) / spread for one, (mean, spread) in zip(scores, scales, strict=True))
    return technique, looks


@cache
def _network(weights: Path) -> Dover:
    return load_dover(weights)


def technical_view(frames: Frames, seed: int = 0) -> Float[Tensor, "3 3 32 224 224"]:
    """Return three clips put together of 7x7 crops at full size; small frames are enlarged first."""
    generator = Generator().manual_seed(seed)
    moments = _moments(len(frames), FRAMES, CLIPS, generator)
    film = torch.from_numpy(frames[moments.numpy()]).movedim(-1, 1).float()
    height, width = film.shape[2:]
    if min(height, width) < SIDE:
        scale = SIDE / min(height, width)
        film = (F.interpolate(film / 255, scale_factor=scale, mode="bilinear") * 255).floor()
    view = torch.zeros(len(film), 3, SIDE, SIDE)
    tops, lefts = ([min(side // CROPS * n, side - _CROP) for n in range(CROPS)] for side in (height, width))
    offsets = [_draws(side // CROPS - _CROP, (CROPS, CROPS, CLIPS), generator) for side in (height, width)]
    for row, top in enumerate(tops):
        for column, left in enumerate(lefts):
            for clip in range(CLIPS):
                at = [max(base, 0) + int(of[row, column, clip]) for base, of in zip((top, left), offsets, strict=True)]
                span = slice(clip * FRAMES, (clip + 1) * FRAMES)
                crop = film[span, :, at[0] : at[0] + _CROP, at[1] : at[1] + _CROP]
                view[span, :, row * _CROP : (row + 1) * _CROP, column * _CROP : (column + 1) * _CROP] = crop
    return _normal(view).reshape(CLIPS, FRAMES, 3, SIDE, SIDE).transpose(1, 2)


def aesthetic_view(frames: Frames, seed: int = 0) -> Float[Tensor, "1 3 32 224 224"]:
    """Return one clip of whole frames from all over the film, made square."""
    moments = _moments(len(frames), 1, FRAMES, Generator().manual_seed(seed))
    film = torch.from_numpy(frames[moments.numpy()]).movedim(-1, 1).float()
    small = F.interpolate(film, (SIDE, SIDE), mode="bilinear", align_corners=False).round()
    return _normal(small)[None].transpose(1, 2)


def _moments(count: int, length: int, parts: int, generator: Generator) -> Int[Tensor, "n"]:
    """Return frames of as many parts of a film, every second one from a moment drawn in each; short films go round."""
    part, span = count // parts, length * INTERVAL
    starts = part * torch.arange(parts) + _draws(part - span, (parts,), generator)
    return (starts[:, None] + INTERVAL * torch.arange(length)).flatten() % count


def _draws(below: int, shape: tuple[int, ...], generator: Generator) -> Int[Tensor, "..."]:
    return torch.randint(below, shape, generator=generator) if below > 0 else torch.zeros(shape, dtype=torch.long)


def _normal(film: Float[Tensor, "f 3 h w"]) -> Float[Tensor, "f 3 h w"]:
    mean, spread = (torch.tensor(values).view(1, 3, 1, 1) for values in (_MEAN, _SPREAD))
    return (film - mean) / spread


def _between(score: float) -> float:
    """Return a score as a share of 1, as its program shows it."""
    return 1 / (1 + exp(-float(np.clip(score, -500, 500))))
