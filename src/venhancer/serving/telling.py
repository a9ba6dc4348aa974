"""How far a job is, told by the process that works on it to the server: a line of JSON each, and the newest frame."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from venhancer.media.reading.reader import Frame
from venhancer.reports.sheets import as_file
from venhancer.serving.record import LATEST

TOLD_EVERY, SHOWN_EVERY = 0.2, 1.0  # seconds
SHOWN_WIDTH = 640
DENOISE = "denoise"  # what the pipeline calls the stage that takes the time


class Told(BaseModel):
    """A line that the process says.

    Args:
        kind: what it is about; the other fields are of one kind each.
        what: is being done.
        share: of the whole job that is finished, 0 to 1.
        frames: of the output that are finished; of a plan, all of them.
        left: seconds until the end, once they can be told.
        line: a warning, or why the job failed.
        not_kept: of the source, in words.
        pixels: of all output frames.
        outcome: how it ended.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["progress", "plan", "warning", "end"]
    what: str = ""
    share: float = 0.0
    frames: int = 0
    left: float | None = None
    line: str = ""
    not_kept: tuple[str, ...] = ()
    pixels: int = 0
    outcome: Literal["finished", "failed", "stopped"] = "finished"


def say(told: Told) -> None:
    """Tell the server."""
    sys.stdout.write(told.model_dump_json(exclude_defaults=True) + "\n")
    sys.stdout.flush()


class Telling:
    """How far a job is; a `venhancer.progress.Progress`, and told of every output frame.

    Every frame and every evaluation of the networks is a moment at which the work can be stopped. An evaluation of all
    windows counts as much as making frames of what they gave: nano's one is half of the work, of 15 the last is a
    sixteenth.

    Args:
        folder: of the job.
        is_unwanted: asked at every such moment whether to stop.
    """

    def __init__(self, folder: Path, is_unwanted: Callable[[], bool]) -> None:
        self.folder, self.is_unwanted = folder, is_unwanted
        self.what, self.total, self.done = "", 1, 0
        self.frames, self.made, self.before = 1, 0, 0
        self.evaluations, self.reached = 1, 0.0
        self.began = self.told_at = self.shown_at = time.monotonic()

    def expect(self, frames: int, before: int, evaluations: int) -> None:
        """Take in how many output frames there will be, how many are finished, and how often each is evaluated."""
        self.frames, self.before, self.evaluations = frames, before, evaluations

    def start(self, total: int, what: str) -> None:
        """Begin a stage of `total` steps."""
        self.what, self.total, self.done = what, max(1, total), 0
        self.began = time.monotonic()
        self._tell(at_once=True)

    def advance(self) -> None:
        """Mark one step as done.

        Raises:
            KeyboardInterrupt: the work is not wanted any more.
        """
        self.done += 1
        self._pause()

    def show(self, frame: Frame) -> None:
        """Take in an output frame.

        Raises:
            KeyboardInterrupt: the work is not wanted any more.
        """
        self.made += 1
        now = time.monotonic()
        if now - self.shown_at > SHOWN_EVERY:
            self.shown_at = now
            place = self.folder / f".{LATEST}"
            place.write_bytes(as_file(small(frame), ".jpg", quality=80))
            place.replace(self.folder / LATEST)
        self._pause()

    def share(self) -> float:
        """Return how much of the job is finished, 0 to 1; never less than before."""
        rest = max(1, self.frames - self.before)
        part = 0.0
        if self.what == DENOISE:
            part = (self.evaluations * self.done / self.total + self.made / rest) / (self.evaluations + 1)
        self.reached = max(self.reached, (self.before + rest * min(part, 1.0)) / self.frames)
        return self.reached

    def _pause(self) -> None:
        if self.is_unwanted():
            raise KeyboardInterrupt
        self._tell()

    def _tell(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if not at_once and now - self.told_at < TOLD_EVERY:
            return
        self.told_at, share = now, self.share()
        done = share - self.before / self.frames
        left = (now - self.began) * (1 - share) / done if done > 0 and self.what == DENOISE else None
        say(Told(kind="progress", what=self.what, share=share, frames=self.before + self.made, left=left))


def small(frame: Frame, width: int = SHOWN_WIDTH) -> np.ndarray:
    """Return a frame in 8 bits and not wider than this, by leaving out pixels."""
    step = -(-frame.shape[1] // width)
    part = frame[::step, ::step]
    return np.ascontiguousarray(part if part.dtype == np.uint8 else (part >> 8).astype(np.uint8))


def understand(line: bytes) -> Told | None:
    """Return what a line of the process says; None for one that is none of ours."""
    try:
        return Told.model_validate(json.loads(line))
    except ValueError:
        return None
