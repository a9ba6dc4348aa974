"""Where the loss comes from: its running mean by timestep and by how much a clip was thinned out and shrunk.

A loss over all timesteps and factors hides which of them a network learns. Each bucket keeps the losses of its last
clips, so that rare buckets are as steady as common ones. Objectives are kept apart, since their losses have no common
measure.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import fmean
from typing import Any, NamedTuple, TypeAlias

TIMESTEPS_A_BUCKET = 100
SCALE_EDGES = (1, 2, 4, 6, 8)

Bucket: TypeAlias = tuple[int, ...]


class ClipLoss(NamedTuple):
    """The loss of one clip, and what made it easy or hard.

    Args:
        objective: name of the main term.
        timestep: 0 (clean) to 999 (noise).
        temporal_factor: key frames are every m-th.
        downscale_factor: how much smaller the input was.
        loss: of the main term.
    """

    objective: str
    timestep: int
    temporal_factor: int
    downscale_factor: float
    loss: float


class BucketRow(NamedTuple):
    """The mean loss of a bucket, and over how many clips."""

    objective: str
    bucket: str
    loss: float
    clips: int


def key_frame_gap(mask: Sequence[bool]) -> int:
    """Return m, how many frames on the second key frame stands; all frames if there is one key frame.

    >>> key_frame_gap([True, False, False, True, False])
    3
    """
    keys = [index for index, is_key in enumerate(mask) if is_key]
    return keys[1] - keys[0] if len(keys) > 1 else len(mask)


def timestep_bucket(clip: ClipLoss) -> Bucket:
    """Return the bucket of a clip's timestep."""
    return (clip.timestep // TIMESTEPS_A_BUCKET,)


def timestep_label(bucket: Bucket) -> str:
    """Return the timesteps of a bucket.

    >>> timestep_label((8,))
    '800-899'
    """
    first = bucket[0] * TIMESTEPS_A_BUCKET
    return f"{first}-{first + TIMESTEPS_A_BUCKET - 1}"


def factor_bucket(clip: ClipLoss) -> Bucket:
    """Return the bucket of a clip's m and s."""
    return clip.temporal_factor, sum(clip.downscale_factor >= edge for edge in SCALE_EDGES[1:-1])


def factor_label(bucket: Bucket) -> str:
    """Return m and the range of s, its end left out but for the last.

    >>> factor_label((3, 2))
    'm=3 s=4-6'
    """
    factor, scale = bucket
    return f"m={factor} s={SCALE_EDGES[scale]}-{SCALE_EDGES[scale + 1]}"


class RunningMeans:
    """Mean losses of the last clips of every bucket of one kind.

    Args:
        window: clips a bucket remembers.
        bucket: returns a clip's bucket; buckets are listed in their order.
        label: names a bucket.
    """

    def __init__(self, window: int, bucket: Callable[[ClipLoss], Bucket], label: Callable[[Bucket], str]) -> None:
        self.bucket, self.label = bucket, label
        self._losses: dict[tuple[str, Bucket], deque[float]] = defaultdict(lambda: deque(maxlen=window))

    def add(self, clips: Iterable[ClipLoss]) -> None:
        """Count clips in."""
        for clip in clips:
            self._losses[clip.objective, self.bucket(clip)].append(clip.loss)

    def means(self) -> dict[str, dict[str, float]]:
        """Return the mean loss by objective and bucket; buckets without a clip are left out."""
        means: dict[str, dict[str, float]] = {}
        for row in self.rows():
            means.setdefault(row.objective, {})[row.bucket] = row.loss
        return means

    def rows(self) -> Iterator[BucketRow]:
        """Yield the facts of each bucket."""
        for (objective, bucket), losses in sorted(self._losses.items(), key=lambda item: item[0]):
            yield BucketRow(objective, self.label(bucket), fmean(losses), len(losses))

    def state(self) -> list[list[Any]]:
        """Return everything remembered, as JSON values."""
        return [[objective, list(bucket), list(losses)] for (objective, bucket), losses in self._losses.items()]

    def restore(self, state: Iterable[list[Any]]) -> None:
        """Remember what `state` returned, and nothing else."""
        self._losses.clear()
        for objective, bucket, losses in state:
            self._losses[objective, tuple(bucket)].extend(losses)
