"""VBench's aesthetic quality: CLIP ViT-L/14 and LAION's linear predictor on the middle square of every frame.

The traps: frames are made smaller bicubically without antialiasing, and whatever lies outside the middle square of the
shorter side is not seen.
"""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from venhancer.errors import WeightsError
from venhancer.evaluation.metrics.features import as_tensor, read_tensors
from venhancer.evaluation.metrics.metric import metric
from venhancer.frames.levels import Frames

if TYPE_CHECKING:
    from transformers import CLIPVisionModelWithProjection

HEAD = "sa_0_4_vit_l_14_linear.pth"
_MEAN, _SPREAD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@metric("VBench's aesthetic quality (CLIP and LAION's predictor) of the middle square", higher_is_better=True)
@torch.inference_mode()
def aesthetic_quality(result: Frames, weights: Path) -> float:
    """Return the mean over frames, 0 to 1.

    `weights` is a folder of CLIP (`config.json`, `model.safetensors`) and of the predictor's file.

    Raises:
        WeightsError: they cannot be read, or belong to other networks.
    """
    network, matrix, bias = load_predictor(weights)
    side = int(network.config.image_size)  # pyright: ignore[reportArgumentType] - CLIP's pictures are square
    scores = [
        float(F.normalize(network(_square(as_tensor(frame), side)).image_embeds) @ matrix + bias) for frame in result
    ]
    return float(np.mean(scores)) / 10


@cache
def load_predictor(folder: Path) -> tuple["CLIPVisionModelWithProjection", Float[Tensor, "d"], Float[Tensor, ""]]:
    """Return CLIP and the predictor's matrix and bias; raises as `aesthetic_quality` does."""
    from transformers import CLIPVisionModelWithProjection

    head = read_tensors(folder / HEAD)
    if not {"weight", "bias"} <= head.keys():
        raise WeightsError(f"{folder / HEAD} is not LAION's predictor; download it again")
    try:
        network = CLIPVisionModelWithProjection.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{folder} does not contain CLIP ({' '.join(str(error).split())[:120]})") from error
    matrix, bias = head["weight"].flatten().float(), head["bias"].flatten()[0].float()
    if len(matrix) != network.config.projection_dim:
        sizes = f"{len(matrix)} numbers, CLIP {network.config.projection_dim}"
        raise WeightsError(f"{folder}: the predictor takes {sizes}; name ViT-L/14 and its predictor")
    return network.eval(), matrix, bias


def _square(frame: Float[Tensor, "1 3 h w"], side: int) -> Float[Tensor, "1 3 s s"]:
    """Return the middle square of the shorter side, at CLIP's size and with its colours."""
    height, width = frame.shape[2:]
    size = [int(side * length / min(height, width)) for length in (height, width)]
    small = F.interpolate(frame, size, mode="bicubic", align_corners=False)
    top, left = (round((length - side) / 2) for length in size)
    square = small[..., top : top + side, left : left + side]
    mean, spread = (square.new_tensor(values).view(1, 3, 1, 1) for values in (_MEAN, _SPREAD))
    return (square - mean) / spread
