"""Measures of an enhanced clip against its reference: `METRICS` by name, each a function of two clips.

Clips are eight-bit RGB of equal shape. Peak signal-to-noise ratio and structural similarity say how faithful a result
is, ST-LPIPS how alike it looks, the temporal difference error how well it moves, and sharpness how much detail there
is, right or wrong.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8

Clip = UInt8[np.ndarray, "f h w 3"]

MOST_DECIBELS = 100.0
"""PSNR of a frame without any error, so that means stay finite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A measure and how to read it.

    Args:
        measure: takes the result and the reference.
        higher_is_better: whether more is better.
        unit: as shown in tables; empty for a pure number.
    """

    measure: Callable[[Clip, Clip], float]
    higher_is_better: bool
    unit: str = ""


def score(
    result: UInt8[np.ndarray, "f h w 3"],
    reference: UInt8[np.ndarray, "f2 h2 w2 3"],
    names: tuple[str, ...] | None = None,
) -> dict[str, float]:
    """Return the metrics of a result by name, all of them unless named.

    Raises:
        ValueError: the clips differ in shape, or a name is unknown.
    """
    if result.shape != reference.shape:
        raise ValueError(f"result of shape {result.shape} cannot be compared with reference of {reference.shape}")
    unknown = set(names or ()) - set(METRICS)
    if unknown:
        raise ValueError(f"unknown metrics {sorted(unknown)}; there are {sorted(METRICS)}")
    return {name: METRICS[name].measure(result, reference) for name in names or METRICS}


def psnr(result: Clip, reference: Clip) -> float:
    """Return the peak signal-to-noise ratio over RGB in dB, the mean over frames."""
    errors = np.array([np.mean((a.astype(np.float64) - b) ** 2) for a, b in zip(result, reference, strict=True)])
    decibels = 10 * np.log10(255**2 / np.maximum(errors, 1e-12))
    return float(np.minimum(decibels, MOST_DECIBELS).mean())


def ssim(result: Clip, reference: Clip) -> float:
    """Return the structural similarity of luma, the mean over frames (Wang et al. 2004: 11-tap Gaussian of 1.5)."""
    return float(np.mean([_ssim_of_frame(_luma(a), _luma(b)) for a, b in zip(result, reference, strict=True)]))


def temporal_difference_error(result: Clip, reference: Clip) -> float:
    """Return how far changes from frame to frame are off: mean absolute difference, in levels of 255."""
    pairs = zip(result[:-1], result[1:], reference[:-1], reference[1:], strict=True)
    errors = [np.abs((b.astype(np.int16) - a) - (d.astype(np.int16) - c)).mean() for a, b, c, d in pairs]
    return float(np.mean(errors)) if errors else 0.0


def sharpness(result: Clip, reference: Clip) -> float:
    """Return the mean luma gradient as a share of the reference's; over 1 is sharper than the truth."""
    return _gradient(result) / max(_gradient(reference), 1e-9)


def st_lpips(result: Clip, reference: Clip) -> float:
    """Return the shift-tolerant perceptual distance, AlexNet, the mean over frames (Ghildyal and Liu 2022).

    Raises:
        ModuleNotFoundError: `stlpips-pytorch` is not installed.
    """
    network = _load_st_lpips()
    distances = []
    with torch.inference_mode():
        for pair in zip(result, reference, strict=True):
            a, b = (torch.from_numpy(frame.copy()).movedim(-1, 0)[None].float() / 127.5 - 1 for frame in pair)
            distances.append(float(network(a, b)))
    return float(np.mean(distances))


METRICS = {
    "psnr": Metric(measure=psnr, higher_is_better=True, unit="dB"),
    "ssim": Metric(measure=ssim, higher_is_better=True),
    "st_lpips": Metric(measure=st_lpips, higher_is_better=False),
    "temporal_difference_error": Metric(measure=temporal_difference_error, higher_is_better=False, unit="levels"),
    "sharpness": Metric(measure=sharpness, higher_is_better=True),
}


def _luma(frame: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    return frame @ np.array([0.299, 0.587, 0.114])


def _gradient(clip: Clip) -> float:
    """Return the mean absolute difference of neighbouring luma pixels, across and down."""
    return float(
        np.mean([np.abs(np.diff(y, axis=axis)).mean() for frame in clip for y in [_luma(frame)] for axis in (0, 1)])
    )


def _ssim_of_frame(a: Float[np.ndarray, "h w"], b: Float[np.ndarray, "h w"]) -> float:
    stable_mean, stable_contrast = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_a, mean_b = _blur(a), _blur(b)
    variance_a, variance_b = _blur(a * a) - mean_a**2, _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    means = (2 * mean_a * mean_b + stable_mean) / (mean_a**2 + mean_b**2 + stable_mean)
    return float((means * (2 * covariance + stable_contrast) / (variance_a + variance_b + stable_contrast)).mean())


def _blur(picture: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h2 w2"]:
    """Return a Gaussian blur, of pixels whose whole neighbourhood lies inside."""
    taps = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    taps /= taps.sum()
    rows = np.lib.stride_tricks.sliding_window_view(picture, len(taps), axis=0) @ taps
    return np.lib.stride_tricks.sliding_window_view(rows, len(taps), axis=1) @ taps


@cache
def _load_st_lpips() -> torch.nn.Module:
    """Return the network of `stlpips-pytorch`; packages it imports without using them are stood in for if missing."""
    if find_spec("stlpips_pytorch") is None:
        raise ModuleNotFoundError("st_lpips needs stlpips-pytorch: run pip install 'venhancer[eval]'")
    stand_ins: dict[str, dict[str, Any]] = {
        "IPython": {"embed": None},
        "torchsummary": {"summary": None},
        "torchvision": {"models": None},
    }
    missing = [name for name in stand_ins if name not in sys.modules and find_spec(name) is None]
    for name in missing:
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(stand_ins[name])
    try:
        from stlpips_pytorch import stlpips  # pyright: ignore[reportMissingImports] - of the extra eval

        return stlpips.LPIPS(net="alex", variant="shift_tolerant", verbose=False)
    finally:
        for name in missing:
            del sys.modules[name]
