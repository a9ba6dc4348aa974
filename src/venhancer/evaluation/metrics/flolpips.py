"""FloLPIPS (Danier, Zhang and Bull 2022): LPIPS where the motion is wrong, for interpolated frames.

The published program reads motion with PWC-Net; this one with OpenCV's DIS, so compare scores made here only.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from venhancer.evaluation.metrics.features import as_tensor
from venhancer.evaluation.metrics.lpips import load_lpips_maps
from venhancer.evaluation.metrics.metric import metric
from venhancer.evaluation.metrics.motion import find_motion
from venhancer.frames.levels import Frames


@metric(
    "how different frames look where their motion is wrong (LPIPS weighed by DIS flow)",
    higher_is_better=False,
    weights_of="lpips",
)
def flolpips(result: Frames, reference: Frames, weights: Path) -> float:
    """Return LPIPS weighed by how far the motion to the next frame is off, the mean over frames but the last.

    Raises:
        SettingsError: frames are smaller than 16 pixels a side.
        WeightsError: the weights cannot be read, or belong to another network.
    """
    maps, scores = load_lpips_maps(weights), []
    for (frame, after), (true, true_after) in zip(pairwise(result), pairwise(reference), strict=True):
        off = find_motion(true, true_after).flow - find_motion(frame, after).flow
        with torch.inference_mode():
            depths = maps(as_tensor(true), as_tensor(frame))
            scores.append(sum(float((one * _shares(off, one)).sum()) for one in depths))
    return float(np.mean(scores)) if scores else 0.0


def _shares(off: Float[np.ndarray, "h w 2"], of: Float[Tensor, "1 h2 w2"]) -> Float[Tensor, "1 h2 w2"]:
    """Return how much each place of a map counts, together 1; all alike where the motion is right everywhere."""
    flow = torch.from_numpy(np.ascontiguousarray(off.transpose(2, 0, 1)))[None].float()
    size = F.interpolate(flow, of.shape[1:], mode="bilinear", align_corners=False).norm(dim=1)
    total = size.sum()
    return size / total if total > 0 else torch.full_like(size, 1 / size.numel())
