"""A small network for the motion between two pictures: where every pixel of a time between is in both of them.

Pictures are looked at on levels, each half as large as the one before. From the coarsest level up, the motion found so
far aligns the features of both pictures, and a few convolutions correct it (after Kong et al. 2022, "IFRNet"). Nothing
is drawn: the result says where to look in the two pictures, and in which of them.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float
from torch import Tensor, nn

from venhancer.frames.motion import Moved, moved, warp
from venhancer.models.blocks import zeroed

Features = Sequence[Float[Tensor, "n _ _ _"]]

QUARTER = 4
"""Motion is estimated at a quarter of the pictures' size."""


class Motion(NamedTuple):
    """Where the pixels of times between two pictures are in them.

    Args:
        before: offset into the earlier picture, in pixels (x, y).
        after: offset into the later picture.
        share: how much of a pixel is of the later picture, from 0 to 1.
    """

    before: Float[Tensor, "n 2 h w"]
    after: Float[Tensor, "n 2 h w"]
    share: Float[Tensor, "n 1 h w"]


class MotionNetwork(ModelMixin, ConfigMixin):
    """Estimates motion between two pictures at any time, coarse to fine.

    Args:
        channels: width of every level, the finest first.
    """

    @register_to_config
    def __init__(self, *, channels: Sequence[int] = (32, 48, 64, 96, 96)) -> None:
        super().__init__()
        entering = [3, *channels[:-1]]
        self.encoder = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, width, 3, stride=1 if level == 0 else 2, padding=1),
                nn.SiLU(),
                nn.Conv2d(width, width, 3, padding=1),
                nn.SiLU(),
            )
            for level, (before, width) in enumerate(zip(entering, channels, strict=True))
        )
        below = [*channels[1:], 0]
        self.decoder = nn.ModuleList(
            _Correction(width, coarser) for width, coarser in zip(channels, below, strict=True)
        )

    @property
    def period(self) -> int:
        """What heights and widths are multiples of."""
        return 2 ** (len(self.encoder) - 1)

    def features(self, pictures: Float[Tensor, "n 3 h w"]) -> list[Tensor]:
        """Return what is looked at of pictures in [-1, 1], the finest level first."""
        height, width = pictures.shape[-2:]
        padded = F.pad(pictures, (0, -width % self.period, 0, -height % self.period), mode="replicate")
        x, features = padded.to(self.dtype).contiguous(memory_format=torch.channels_last), list[Tensor]()
        for level in self.encoder:
            x = level(x)
            features.append(x)
        return features

    def forward(self, before: Features, after: Features, times: Float[Tensor, " n"]) -> list[Motion]:
        """Return the motion at every level, the coarsest first, each in its own pixels and with padding.

        Args:
            before: `features` of the pictures at time 0.
            after: of those at time 1.
            times: above 0 and below 1, one a pair.
        """
        time = times.to(torch.float32).view(-1, 1, 1, 1)
        prior = torch.log(time / (1 - time))
        rows, columns = before[-1].shape[-2:]
        motion = torch.zeros(len(times), 5, rows, columns, device=times.device)
        hidden, found = None, list[Motion]()
        for level, first, second in zip(reversed(self.decoder), reversed(before), reversed(after), strict=True):
            if hidden is not None:
                hidden = F.interpolate(hidden, scale_factor=2.0, mode="bilinear")
                motion = F.interpolate(motion, scale_factor=2.0, mode="bilinear")
                motion = torch.cat([2 * motion[:, :4], motion[:, 4:]], dim=1)
            there, back = -time * motion[:, :2], (1 - time) * motion[:, 2:4]
            aligned = [warp(first.float(), there).to(first.dtype), warp(second.float(), back).to(first.dtype)]
            hidden, correction = level(aligned, hidden, motion, time)
            motion = motion + correction.float()
            found.append(
                Motion(-time * motion[:, :2], (1 - time) * motion[:, 2:4], torch.sigmoid(motion[:, 4:] + prior))
            )
        return found


def enlarged_motion(motion: Motion) -> Motion:
    """Return the motion of a quarter-sized picture at full size, in full-sized pixels."""
    large = (F.interpolate(one, scale_factor=float(QUARTER), mode="bilinear") for one in motion)
    before, after, share = large
    return Motion(QUARTER * before, QUARTER * after, share)


class MotionByNetwork:
    """Moves two frames to times between them: a `venhancer.frames.motion.Move`.

    What was looked at of a later frame is kept for the next call, where it is the earlier one.

    Args:
        network: that knows where things are.
    """

    def __init__(self, network: MotionNetwork) -> None:
        self.network = network
        self._last: tuple[Tensor, Features] | None = None

    def __call__(
        self, before: Float[Tensor, "3 h w"], after: Float[Tensor, "3 h w"], times: Sequence[float]
    ) -> Iterator[Moved]:
        """Yield both frames, in [-1, 1], moved to each time."""
        height, width = before.shape[-2:]
        first, second = before[None].float(), after[None].float()
        with torch.inference_mode():
            is_known = self._last is not None and self._last[0] is before
            features = self._last[1] if self._last and is_known else self.network.features(_quarter(first))
            others = self.network.features(_quarter(second))
            self._last = after, others
        for time in times:
            with torch.inference_mode():
                motion = self.network(features, others, torch.tensor([time], device=before.device))[-1]
                there, back, share = (part[..., :height, :width] for part in enlarged_motion(motion))
                pair = Moved(moved(first, there), moved(second, back), share[0])
            yield pair  # out here: the caller's code runs in between


def _quarter(pictures: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h2 w2"]:
    return F.avg_pool2d(pictures, QUARTER, ceil_mode=True, count_include_pad=False)


class _Correction(nn.Module):
    """What a level adds to the motion of the coarser one, whose features it continues.

    Args:
        channels: width.
        coarser: width of the coarser level; 0 if there is none.
    """

    def __init__(self, channels: int, coarser: int) -> None:
        super().__init__()
        self.entry = nn.Conv2d(2 * channels + coarser + 6, channels, 3, padding=1)
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(3))
        self.exit = zeroed(nn.Conv2d(channels, 5, 3, padding=1))

    def forward(
        self, aligned: Sequence[Tensor], hidden: Tensor | None, motion: Float[Tensor, "n 5 h w"], time: Tensor
    ) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n 5 h w"]]:
        """Return this level's features, and what it adds."""
        known = torch.cat([motion, time.expand(-1, -1, *motion.shape[-2:])], dim=1)
        parts = [*aligned, *([] if hidden is None else [hidden]), known.to(aligned[0].dtype)]
        x = self.entry(torch.cat(parts, dim=1))
        for conv in self.convs:
            x = x + conv(F.silu(x))
        return x, self.exit(F.silu(x))
