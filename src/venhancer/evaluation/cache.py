"""Outputs and scores of earlier evaluations on disk: used again while nothing they depend on has changed."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from venhancer.durable import written_whole
from venhancer.errors import JobFailed
from venhancer.frames.levels import Frames
from venhancer.media.source import failures_as


@dataclass(frozen=True, slots=True)
class Output:
    """What a contender made of a clip, and how many seconds it took, if that is known."""

    frames: Frames
    seconds: float | None

    @classmethod
    def timed(cls, enhance: Callable[[], Frames]) -> Self:
        """Return what a call gives, with how long it takes."""
        begin = time.monotonic()
        return cls(enhance(), round(time.monotonic() - begin, 3))


@dataclass(frozen=True, slots=True)
class Cache:
    """A folder of outputs (.npy, without loss) and scores (.json).

    Args:
        folder: made when something is kept.
        is_fresh: whether existing entries are ignored and computed again.
    """

    folder: Path
    is_fresh: bool = False

    def file(self, key: str) -> Path:
        """Return where the frames under a key are."""
        return self.folder / "outputs" / f"{key}.npy"

    def output(self, key: str) -> Output | None:
        """Return the output under a key, None if there is none."""
        frames, notes = self.file(key), self.file(key).with_suffix(".json")
        if self.is_fresh or not frames.exists() or not notes.exists():
            return None
        return Output(np.load(frames), json.loads(notes.read_text())["seconds"])

    def keep_output(self, key: str, output: Output, about: Mapping[str, object]) -> None:
        """Keep an output under a key; what it is about lies beside it, for people.

        Raises:
            JobFailed: the disk is full or may not be written to.
        """
        _write(self.file(key), output.frames)
        _write(self.file(key).with_suffix(".json"), {"seconds": output.seconds, **about})

    def scores(self, key: str) -> dict[str, float]:
        """Return the scores under a key, as many as there are."""
        file = self.folder / "scores" / f"{key}.json"
        return {} if self.is_fresh or not file.exists() else json.loads(file.read_text())

    def keep_scores(self, key: str, scores: Mapping[str, float]) -> None:
        """Keep scores under a key.

        Raises:
            JobFailed: the disk is full or may not be written to.
        """
        _write(self.folder / "scores" / f"{key}.json", scores)


def digest_frames(frames: Frames | None) -> str:
    """Return a short digest of frames and their shape; empty for none."""
    if frames is None:
        return ""
    content = hashlib.sha256(str(frames.shape).encode())
    content.update(np.ascontiguousarray(frames).data)
    return content.hexdigest()[:16]


def digest_values(values: Mapping[str, object]) -> str:
    """Return a short digest of JSON values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:16]


def output_key(source: Frames, rate: object, scale: int, factor: int, identity: Mapping[str, object]) -> str:
    """Return the key of an output: a digest of everything it depends on."""
    request = {"source": digest_frames(source), "rate": str(rate), "scale": scale, "factor": factor}
    return digest_values({**request, "contender": identity})


def scores_key(output: str, reference: Frames | None) -> str:
    """Return the key of the scores of an output: they depend on what it is compared with, too."""
    return f"{output}-{digest_frames(reference)}"


def _write(path: Path, content: Frames | Mapping[str, object]) -> None:
    """Write a file whole or not at all."""
    with failures_as(JobFailed, f"{path} could not be stored; free some space or choose another --cache"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as partial:
            if isinstance(content, np.ndarray):
                np.save(partial, content)
            else:
                partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
