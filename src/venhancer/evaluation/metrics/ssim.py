"""Structural similarity (Wang et al. 2004): local means, contrasts and correlations of luma."""

import cv2
import numpy as np
from jaxtyping import Float

from venhancer.evaluation.metrics.metric import luma, metric
from venhancer.frames.levels import Frames

RADIUS, SPREAD = 5, 1.5
"""Of the Gaussian window, in pixels."""


@metric("structural similarity to the truth", higher_is_better=True)
def ssim(result: Frames, reference: Frames) -> float:
    """Return the structural similarity of luma, the mean over frames (11-tap Gaussian of 1.5)."""
    return float(np.mean([_ssim_of_frame(luma(a), luma(b)) for a, b in zip(result, reference, strict=True)]))


def _ssim_of_frame(a: Float[np.ndarray, "h w"], b: Float[np.ndarray, "h w"]) -> float:
    stable_mean, stable_contrast = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_a, mean_b = _blur(a), _blur(b)
    variance_a, variance_b = _blur(a * a) - mean_a**2, _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    means = (2 * mean_a * mean_b + stable_mean) / (mean_a**2 + mean_b**2 + stable_mean)
    return float((means * (2 * covariance + stable_contrast) / (variance_a + variance_b + stable_contrast)).mean())


def _blur(picture: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h2 w2"]:
    """Return a Gaussian blur, of pixels whose whole neighbourhood lies inside."""
    blurred = cv2.GaussianBlur(picture, (2 * RADIUS + 1, 2 * RADIUS + 1), SPREAD)
    return blurred[RADIUS:-RADIUS, RADIUS:-RADIUS]
