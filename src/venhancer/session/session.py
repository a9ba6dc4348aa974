"""Frames in as they come, frames out as they are settled, in memory that does not grow.

Windows are spread evenly over a whole shot, so frames are settled once its end is known: after the last push, or from
the beginning if a session is told how many frames will come. What is pushed waits in a temporary file; a session
therefore gives the very frames that a file of the same pictures would.
"""

import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from fractions import Fraction
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from jaxtyping import UInt8

from venhancer.errors import JobFailed, SettingsError
from venhancer.media.clip import describe_frames
from venhancer.media.reading.shots import Findings, look_through_frames
from venhancer.media.source import failures_as
from venhancer.plan import EnhancePlan, make_plan
from venhancer.progress import SILENT, Progress
from venhancer.settings import EnhanceSettings, parse_ratio, parse_settings

Picture = UInt8[np.ndarray, "h w 3"]
NOTHING_FOUND = Findings()


class Session:
    """Frames of one clip, pushed and then drawn; `VEnhancerPipeline.session` makes it.

    Args:
        pipeline: the model.
        width: of a frame, in pixels.
        height: likewise.
        fps: rate of the frames that are pushed.
        settings: what is asked for.
        expected: how many frames will be pushed; None if nobody knows.
        progress: told of every evaluation of a window's tile.
    """

    def __init__(
        self,
        pipeline: Any,  # noqa: ANN401 - one that this is a part of
        width: int,
        height: int,
        fps: Fraction,
        settings: EnhanceSettings,
        *,
        expected: int | None = None,
        progress: Progress = SILENT,
    ) -> None:
        self.width, self.height, self.fps, self.settings, self.expected = width, height, fps, settings, expected
        self._pipeline, self._progress = pipeline, progress
        self._file: BinaryIO | None = None
        self._needed: deque[int] = deque()  # of each segment still to be made, the last input frame it needs
        self._segments: Iterator[Any] = iter(())
        self._frames: Iterator[np.ndarray] = iter(())
        self.frames = 0

    @property
    def _bytes(self) -> int:
        """Bytes of a frame."""
        return self.width * self.height * 3

    def __enter__(self) -> Self:
        plan = self.plan(frames=self.expected or 1)  # refuses what cannot be before anything is pushed
        self._file = tempfile.TemporaryFile()
        if self.expected is not None:
            self._begin(plan)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self.frames = None, 0

    def push(self, frames: UInt8[np.ndarray, "*f h w 3"]) -> None:
        """Take one more frame, or several.

        Args:
            frames: RGB, of the session's size.

        Raises:
            ValueError: they are of another size or type, more than expected, or the session is not open.
            JobFailed: there is no room for them in the temporary folder.
        """
        wanted = (self.height, self.width, 3)
        if frames.dtype != np.uint8 or frames.ndim not in (3, 4) or frames.shape[-3:] != wanted:
            raise ValueError(f"frames are {frames.dtype} {frames.shape}; they must be uint8 (f, {wanted})")
        count = self.frames + (1 if frames.ndim == 3 else len(frames))
        if self.expected is not None and count > self.expected:
            raise ValueError(f"{count} frames were pushed; the session was told of {self.expected}")
        with failures_as(JobFailed, "frames cannot be kept; make room in the temporary folder"):
            file = self._open()
            file.seek(self.frames * self._bytes)
            file.write(np.ascontiguousarray(frames).data)
        self.frames = count

    def settled(self) -> Iterator[np.ndarray]:
        """Yield the output frames that are settled by now, uint8 of the output's size.

        Without a number of expected frames there are none before `flush`.
        """
        while True:
            yield from self._frames
            if not self._needed or self._needed[0] >= self.frames:
                return
            self._needed.popleft()
            self._frames = next(self._segments).frames

    def flush(self) -> Iterator[np.ndarray]:
        """Yield the output frames of all that was pushed, without those already drawn, and be empty again.

        Raises:
            SettingsError: nothing or too little was pushed, or the settings cannot be met for these frames.
        """
        if not self.frames:
            raise SettingsError("no frames were pushed; push some before you flush")
        if self.expected is None:
            found = look_through_frames(self._read(range(self.frames))) if self.settings.looks_through else Findings()
            self._begin(self.plan(self.frames, found))
        elif self.frames < self.expected:
            raise SettingsError(f"{self.frames} frames were pushed; the session was told of {self.expected}")
        yield from self.settled()
        self.frames = 0
        if self.expected is not None:
            self._begin(self.plan(self.expected))

    def plan(self, frames: int, found: Findings = NOTHING_FOUND) -> EnhancePlan:
        """Return what is done with so many frames.

        Raises:
            SettingsError: the settings cannot be met for them.
        """
        clip = describe_frames(frames, self.height, self.width, self.fps)
        own: dict[str, Any] = {"cuts": found.cuts if self.settings.looks_for_cuts else (), "cadence": found.cadence}
        return make_plan(clip, self.settings, self._pipeline.traits, machine=self._pipeline.machine, **own)

    def _begin(self, plan: EnhancePlan) -> None:
        """Be ready to make the segments of a plan, each once its input frames are there."""
        reaches = [self._pipeline.reach(plan, segment) for segment in plan.segments]
        self._needed = deque(plan.source[reach.key_frames[-1]] for reach in reaches)
        self._segments = self._pipeline.enhance_segments(plan, self._read, progress=self._progress)
        self._frames = iter(())

    def _read(self, numbers: Sequence[int]) -> Iterator[Picture]:
        file = self._open()
        for number in numbers:
            file.seek(number * self._bytes)
            yield np.frombuffer(file.read(self._bytes), np.uint8).reshape(self.height, self.width, 3)

    def _open(self) -> BinaryIO:
        if self._file is None:
            raise ValueError("the session is not open; use it in a `with` block")
        return self._file


class InSessions:
    """What a pipeline has to be used by programs whose frames come one by one."""

    def session(
        self,
        width: int,
        height: int,
        source_fps: Fraction | float | str,
        *,
        frames: int | None = None,
        progress: Progress = SILENT,
        **settings: object,
    ) -> Session:
        """Return a session for frames that come one by one: `push` them, then draw the enhanced ones from `flush`.

        Told how many frames will come, and with `shots=False`, it gives those that are settled earlier: `settled`.

        Args:
            width: of the frames pushed, in pixels.
            height: likewise.
            source_fps: their rate, in frames a second.
            frames: how many will be pushed, if that is known.
            progress: told of every evaluation of a window's tile.
            settings: fields of `EnhanceSettings`, such as scale=4, fps=24.

        Raises:
            SettingsError: a setting cannot be.
        """
        request = parse_settings(**settings)
        if frames is not None and frames < 1:
            raise SettingsError(f"frames {frames} is below 1; pass how many will be pushed, or leave it out")
        if frames is not None and request.looks_through:
            raise SettingsError(f"frames {frames} needs shots=False: cuts are known only once all frames are there")
        return Session(self, width, height, parse_ratio(source_fps), request, expected=frames, progress=progress)
