"""Peak signal-to-noise ratio: how far pixels are off."""

import numpy as np

from venhancer.evaluation.metrics.metric import Clip, Metric

MOST_DECIBELS = 100.0
"""PSNR of a frame without any error, so that means stay finite."""


def psnr(result: Clip, reference: Clip) -> float:
    """Return the peak signal-to-noise ratio over RGB in dB, the mean over frames."""
    errors = np.array([np.mean((a.astype(np.float64) - b) ** 2) for a, b in zip(result, reference, strict=True)])
    decibels = 10 * np.log10(255**2 / np.maximum(errors, 1e-12))
    return float(np.minimum(decibels, MOST_DECIBELS).mean())


METRIC = Metric(
    name="psnr",
    measure=psnr,
    takes=("result", "reference"),
    what="how near pixels are to the truth",
    higher_is_better=True,
    unit="dB",
)
