"""Naturalness without a reference (Mittal, Soundararajan and Bovik 2013): how far statistics are from photographs'.

`niqe.npz` holds the published statistics of pristine photographs, as the package basicsr has them; see docs/credits.md.
"""

from functools import cache
from importlib.resources import files
from math import exp, lgamma
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from venhancer.evaluation.metrics.metric import metric
from venhancer.frames.levels import Frames

BLOCK = 96
"""Side of the squares that statistics are taken of, at full size; half as much at half size."""

_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))


@metric(
    "unnaturalness of frames, by statistics of photographs; film grain lowers it, drawings raise it",
    higher_is_better=False,
)
def niqe(result: Frames) -> float:
    """Return how unnatural frames are, the mean over frames; NaN if they hold fewer than two squares of 96 pixels."""
    return float(np.mean([niqe_of_frame(frame) for frame in result]))


def niqe_of_frame(frame: UInt8[np.ndarray, "h w 3"]) -> float:
    """Return the distance of a frame's statistics from those of pristine photographs (eq. 10)."""
    rows, columns = frame.shape[0] // BLOCK, frame.shape[1] // BLOCK
    if rows * columns < 2:
        return float("nan")
    # Studio luma, rounded: what the published statistics were taken of.
    luma = (frame[: rows * BLOCK, : columns * BLOCK] @ (np.array([65.481, 128.553, 24.966]) / 255) + 16).round()
    features = np.concatenate([_features(luma, BLOCK), _features(_halve(luma), BLOCK // 2)], axis=1)
    whole = features[~np.isnan(features).any(axis=1)]
    if len(whole) < 2:
        return float("nan")
    pristine = _pristine()
    away = pristine.mean - np.nanmean(features, axis=0)
    spread = (pristine.covariance + np.cov(whole, rowvar=False)) / 2
    return float(np.sqrt(away @ np.linalg.pinv(spread) @ away))


def _features(luma: Float[np.ndarray, "h w"], block: int) -> Float[np.ndarray, "n 18"]:
    """Return 18 numbers of each square: shape and width of normalised luma and of its products with four neighbours."""
    mean = _blur(luma)
    contrast = np.sqrt(np.abs(_blur(luma**2) - mean**2))
    normal = (luma - mean) / (contrast + 1)
    height, width = luma.shape
    squares = normal.reshape(height // block, block, width // block, block).swapaxes(1, 2).reshape(-1, block, block)
    alpha, left, right = _fit(squares)
    columns = [alpha, (left + right) / 2]
    for down, across in _NEIGHBOURS:
        alpha, left, right = _fit(squares * np.roll(squares, (down, across), axis=(1, 2)))
        ratios = _gamma(2 / alpha) / _gamma(1 / alpha)
        columns += [alpha, (right - left) * ratios, left, right]
    return np.stack(columns, axis=1)


def _fit(squares: Float[np.ndarray, "n s s"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return shape, left and right width of the asymmetric generalised Gaussian of each square (eq. 7)."""
    values = squares.reshape(len(squares), -1)
    with np.errstate(invalid="ignore", divide="ignore"):  # a flat square has none: NaN, left out by the caller
        sides = (values < 0, values > 0)
        left, right = (np.sqrt((values**2 * side).sum(axis=1) / side.sum(axis=1)) for side in sides)
        skew = left / right
        peak = np.abs(values).mean(axis=1) ** 2 / (values**2).mean(axis=1)
    peakedness = peak * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    shapes, peaks = _peaks()
    alpha = shapes[np.argmin((peaks - np.nan_to_num(peakedness)[:, None]) ** 2, axis=1)]
    widths = np.sqrt(_gamma(1 / alpha) / _gamma(3 / alpha))
    alpha = np.where(np.isnan(peakedness), np.nan, alpha)
    return alpha, left * widths, right * widths


class _Pristine(NamedTuple):
    mean: Float[np.ndarray, "36"]
    covariance: Float[np.ndarray, "36 36"]


@cache
def _pristine() -> _Pristine:
    with (files("venhancer.evaluation.metrics") / "niqe.npz").open("rb") as file, np.load(file) as statistics:
        return _Pristine(statistics["mean"], statistics["covariance"])


@cache
def _peaks() -> tuple[np.ndarray, np.ndarray]:
    """Return the shapes tried, 0.2 to 10, and how peaked each is."""
    shapes = np.arange(0.2, 10.001, 0.001)
    return shapes, _gamma(2 / shapes) ** 2 / (_gamma(1 / shapes) * _gamma(3 / shapes))


def _gamma(x: np.ndarray) -> np.ndarray:
    return np.array([float("nan") if np.isnan(value) else exp(lgamma(value)) for value in x])


def _blur(picture: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Return a Gaussian blur of 7 taps and 7/6 pixels; edges go on outwards."""
    taps = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
    padded = np.pad(picture, 3, mode="edge")  # OpenCV rounds otherwise, and the signs of flat areas follow
    rows = np.lib.stride_tricks.sliding_window_view(padded, len(taps), axis=0) @ (taps / taps.sum())
    return np.lib.stride_tricks.sliding_window_view(rows, len(taps), axis=1) @ (taps / taps.sum())


def _halve(picture: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h2 w2"]:
    """Return a picture of half the size, by the cubic of a = -0.5 widened against aliasing, mirrored at its edges."""
    away = np.abs(np.arange(-3.5, 4)) / 2
    taps = np.where(away <= 1, 1.5 * away**3 - 2.5 * away**2 + 1, -0.5 * away**3 + 2.5 * away**2 - 4 * away + 2)
    taps /= taps.sum()
    return cv2.sepFilter2D(picture, -1, taps, taps, anchor=(3, 3), borderType=cv2.BORDER_REFLECT)[::2, ::2]
