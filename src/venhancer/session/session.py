"""Frames in as they come, frames out as they are settled, in memory that does not grow.

Windows are spread evenly over a whole shot, so frames are settled once the end is known. What is pushed waits for it in
a temporary file; a session therefore gives the very frames that a file of the same pictures would.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from jaxtyping import UInt8

from venhancer.errors import JobFailed, SettingsError
from venhancer.media.clip import describe_frames
from venhancer.media.reading.shots import Findings, look_through_frames
from venhancer.media.source import failures_as
from venhancer.model_files.traits import ModelTraits
from venhancer.plan import EnhancePlan, make_plan
from venhancer.planning.memory import Machine
from venhancer.progress import SILENT, Progress
from venhancer.settings import EnhanceSettings, parse_ratio, parse_settings

Picture = UInt8[np.ndarray, "h w 3"]
Read = Callable[[Sequence[int]], Iterable[Picture]]
NOTHING_FOUND = Findings()
Enhance = Callable[[EnhancePlan, Read], Iterator[np.ndarray]]


class Session:
    """Frames of one clip, pushed and then drawn; `VEnhancerPipeline.session` makes it.

    Args:
        width: of a frame, in pixels.
        height: likewise.
        fps: rate of the frames that are pushed.
        settings: what is asked for.
        traits: of the model.
        machine: what it runs on.
        enhance: yields the output frames of a plan.
    """

    def __init__(
        self,
        width: int,
        height: int,
        fps: Fraction,
        settings: EnhanceSettings,
        *,
        traits: ModelTraits,
        machine: Machine,
        enhance: Enhance,
    ) -> None:
        self.width, self.height, self.fps, self.settings = width, height, fps, settings
        self._traits, self._machine, self._enhance = traits, machine, enhance
        self._file: BinaryIO | None = None
        self.frames = 0

    @property
    def _bytes(self) -> int:
        """Bytes of a frame."""
        return self.width * self.height * 3

    def __enter__(self) -> Self:
        self.plan(frames=1)  # refuses what cannot be before anything is pushed
        self._file = tempfile.TemporaryFile()
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
            ValueError: they are of another size or type, or the session is not open.
            JobFailed: there is no room for them in the temporary folder.
        """
        wanted = (self.height, self.width, 3)
        if frames.dtype != np.uint8 or frames.ndim not in (3, 4) or frames.shape[-3:] != wanted:
            raise ValueError(f"frames are {frames.dtype} {frames.shape}; they must be uint8 (f, {wanted})")
        with failures_as(JobFailed, "frames cannot be kept; make room in the temporary folder"):
            file = self._open()
            file.seek(self.frames * self._bytes)
            file.write(np.ascontiguousarray(frames).data)
        self.frames += 1 if frames.ndim == 3 else len(frames)

    def flush(self) -> Iterator[np.ndarray]:
        """Yield the output frames of all that was pushed, uint8 of the output's size, and be empty again.

        Raises:
            SettingsError: nothing was pushed, or the settings cannot be met for these frames.
        """
        if not self.frames:
            raise SettingsError("there are no frames to enhance; push some before you flush")
        everything = range(self.frames)
        found = look_through_frames(self._read(everything)) if self.settings.looks_through else Findings()
        yield from self._enhance(self.plan(self.frames, found), self._read)
        self.frames = 0

    def plan(self, frames: int, found: Findings = NOTHING_FOUND) -> EnhancePlan:
        """Return what is done with so many frames.

        Raises:
            SettingsError: the settings cannot be met for them.
        """
        clip = describe_frames(frames, self.height, self.width, self.fps)
        own: dict[str, Any] = {"cuts": found.cuts if self.settings.looks_for_cuts else (), "cadence": found.cadence}
        return make_plan(clip, self.settings, self._traits, machine=self._machine, **own)

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
        progress: Progress = SILENT,
        **settings: object,
    ) -> Session:
        """Return a session for frames that come one by one: `push` them, then draw the enhanced ones from `flush`.

        Args:
            width: of the frames pushed, in pixels.
            height: likewise.
            source_fps: their rate, in frames a second.
            progress: told of every evaluation of a window's tile.
            settings: fields of `EnhanceSettings`, such as scale=4, fps=24.

        Raises:
            SettingsError: a setting cannot be.
        """
        pipeline: Any = self  # this is a part of one
        request, enhance = parse_settings(**settings), partial(pipeline.enhance, progress=progress)
        own: dict[str, Any] = {"traits": pipeline.traits, "machine": pipeline.machine, "enhance": enhance}
        return Session(width, height, parse_ratio(source_fps), request, **own)
