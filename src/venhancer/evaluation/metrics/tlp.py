"""tLP (Chu et al. 2020, TecoGAN): whether a result changes from frame to frame as much as the truth, to the eye."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from venhancer.evaluation.metrics.features import Distance, as_tensor
from venhancer.evaluation.metrics.lpips import load_lpips
from venhancer.evaluation.metrics.metric import metric
from venhancer.frames.levels import Frames


@metric(
    "how much more or less frames change than the truth's, by LPIPS",
    higher_is_better=False,
    unit="1/100",
    weights_of="lpips",
)
def tlp(result: Frames, reference: Frames, weights: Path) -> float:
    """Return the difference of LPIPS between neighbouring frames from the truth's, times 100: the mean over pairs.

    Raises:
        WeightsError: the weights cannot be read, or belong to another network.
    """
    distance = load_lpips(weights)
    changes, true = (_changes(distance, clip) for clip in (result, reference))
    return float(np.abs(np.subtract(changes, true)).mean()) * 100 if changes else 0.0


@torch.inference_mode()
def _changes(distance: Distance, clip: Frames) -> list[float]:
    return [float(distance(as_tensor(before), as_tensor(after))) for before, after in pairwise(clip)]
