"""What a motion network learns: to make frames between two others that are the clip's own.

A group's clips share their key frames; of each clip one pair and one frame between is drawn. Two pictures moved along
the predicted motion and blended must be that frame, at full size, and coarser levels must move coarser pictures well.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from venhancer.errors import SettingsError
from venhancer.frames.motion import warp
from venhancer.models.motion import QUARTER, Motion, MotionNetwork, enlarged_motion
from venhancer.training.data.augment import Example
from venhancer.training.data.damage import draw_integer
from venhancer.training.objective import Losses
from venhancer.training.settings import ObjectiveSettings


@dataclass(frozen=True, slots=True)
class MotionObjective:
    """The loss of a batch, as a function of the network, the batch and a generator.

    Args:
        settings: weights.
    """

    settings: ObjectiveSettings

    def __call__(self, network: MotionNetwork, batch: Example, generator: Generator) -> Losses:
        """Return what the motion predicted for a batch costs.

        Args:
            network: in training.
            batch: clips of three frames or more.
            generator: of all that is drawn.

        Raises:
            SettingsError: no frame lies between two key frames.
        """
        before, after, truth, times = draw_triplets(batch.target, batch.key_frame_mask[0], generator)
        pairs = F.avg_pool2d(before, QUARTER), F.avg_pool2d(after, QUARTER)
        *coarser, finest = network(*map(network.features, pairs), times)
        terms = dict[str, Tensor]()
        error = between(before, after, enlarged_motion(finest)) - truth
        per_clip = error.abs().mean(dim=(1, 2, 3))
        terms["pixels"] = self.settings.pixel_weight * per_clip.mean()
        along = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
        terms["neighbours"] = self.settings.neighbour_weight * along
        levels = [torch.zeros((), device=truth.device)]
        for motion in (*coarser, finest):
            size = motion.share.shape[-2:]
            small = [F.adaptive_avg_pool2d(picture, size) for picture in (before, after, truth)]
            levels.append((between(small[0], small[1], motion) - small[2]).abs().mean())
        terms["levels"] = self.settings.motion_level_weight * torch.stack(levels).sum()
        return Losses(terms, per_clip.detach(), torch.zeros(len(truth), dtype=torch.int64, device=truth.device))


def between(
    before: Float[Tensor, "n 3 h w"], after: Float[Tensor, "n 3 h w"], motion: Motion
) -> Float[Tensor, "n 3 h w"]:
    """Return pictures made of two others, moved along a motion and blended."""
    return torch.lerp(warp(before, motion.before), warp(after, motion.after), motion.share)


def draw_triplets(
    clips: Float[Tensor, "b 3 f h w"], is_key: Bool[Tensor, " f"], generator: Generator
) -> tuple[Tensor, Tensor, Tensor, Float[Tensor, " b"]]:
    """Return of each clip two neighbouring key frames, a frame between them, and its time.

    Raises:
        SettingsError: there is none.
    """
    keys = is_key.nonzero().flatten().tolist()
    gaps = [(first, second) for first, second in pairwise(keys) if second - first > 1]
    if not gaps:
        raise SettingsError(
            f"motion is learned from frames between key frames, and {clips.shape[2]} frames with key frames {keys} "
            f"have none; raise frames, or leave 1 out of augment.temporal_factors"
        )
    parts = list[tuple[Tensor, Tensor, Tensor]]()
    times = list[float]()
    for clip in clips:
        first, second = gaps[draw_integer(0, len(gaps) - 1, generator)]
        number = draw_integer(first + 1, second - 1, generator)
        parts.append((clip[:, first], clip[:, second], clip[:, number]))
        times.append((number - first) / (second - first))
    before, after, truth = (torch.stack(part) for part in zip(*parts, strict=True))
    return before, after, truth, torch.tensor(times, device=clips.device)
