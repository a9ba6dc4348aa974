"""VBench's imaging quality: MUSIQ with SPAQ's weights on frames of at most 512 pixels, as a share of 1.

The trap: VBench makes frames smaller without antialiasing. With it, scores differ.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from venhancer.evaluation.metrics.features import as_tensor
from venhancer.evaluation.metrics.metric import metric
from venhancer.evaluation.metrics.musiq import cached_musiq
from venhancer.frames.levels import Frames

LONGEST = 512


@metric("VBench's imaging quality (MUSIQ, SPAQ, at most 512 pixels)", higher_is_better=True, weights_of="musiq_spaq")
@torch.inference_mode()
def imaging_quality(result: Frames, weights: Path) -> float:
    """Return the mean over frames, 0 to 1.

    Raises:
        WeightsError: the weights cannot be read, or belong to another network.
    """
    network, longest = cached_musiq(weights), max(result.shape[1:3])
    size = [int(LONGEST / longest * side) for side in result.shape[1:3]]
    scores = []
    for frame in map(as_tensor, result):
        small = frame if longest <= LONGEST else F.interpolate(frame, size, mode="bilinear", align_corners=False)
        scores.append(float(network(small)))
    return float(np.mean(scores)) / 100
