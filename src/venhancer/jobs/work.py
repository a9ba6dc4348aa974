"""What lies beside a target while it is made, and what may be done with it: nothing, unless a run here made it.

`TARGET.part/` holds `manifest.json` (what the work is of, and how far it has come), a file for every finished segment,
the carry of the newest (what the next segment needs of it), the result while it is put together, and a lock. The
manifest is written last and whole: what it names is on the disk, and anything else is the leaving of a run that was
killed. Without torch, so that a refusal or a plan never waits; `venhancer.jobs.job` does the work.
"""

import os
import shutil
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from venhancer.errors import InputError
from venhancer.jobs.origin import Origin, differences
from venhancer.media.source import failures_as
from venhancer.media.writing.pictures_out import unit_of

MANIFEST, LOCK = "manifest.json", "lock"
MADE_HERE = ("segment_", "carry_", "unfinished", "result", ".")
"""How all other names begin that a run puts into its folder; those with a dot are temporary files of writers."""


LONGEST_NAME = 255  # bytes that file systems take


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Part(_Frozen):
    """A finished segment: its file's name and bytes, and how many output frames are in it."""

    file: str
    bytes: int
    frames: int


class Mark(_Frozen):
    """What a file or folder keeps when it is moved within its file system: its number there, its bytes, its time."""

    inode: int
    bytes: int
    modified: int

    @classmethod
    def of(cls, path: Path) -> "Mark":
        """Return the mark of the file that is there now."""
        state = path.lstat()
        return cls(inode=state.st_ino, bytes=state.st_size, modified=state.st_mtime_ns)


class Manifest(_Frozen):
    """The contents of a work folder's manifest.

    Args:
        program: tells it from other programs' files.
        format: of this file.
        origin: what the result depends on; see `venhancer.jobs.origin`.
        choices: what was found out or chosen when the work began or while it went on, and must stay for the rest of it.
        frames: of the whole output.
        parts: the finished segments, in order.
        carry: name of the file with what the next segment needs; None if it needs nothing.
        result: of the whole result, noted before it is moved into place.
    """

    program: Literal["venhancer"] = "venhancer"
    format: Literal[1] = 1
    origin: dict[str, Any]
    choices: dict[str, Any] = {}
    frames: int
    parts: tuple[Part, ...] = ()
    carry: str | None = None
    result: Mark | None = None

    @property
    def finished_frames(self) -> int:
        """Output frames in finished segments."""
        return sum(part.frames for part in self.parts)

    def is_published(self, target: Path) -> bool:
        """Tell whether the target is the result of this work, which only was not cleared away any more."""
        with suppress(OSError):
            return self.result is not None and Mark.of(unit_of(target)) == self.result
        return False


def work_folder(target: Path) -> Path:
    """Return the work folder of a target."""
    target = unit_of(target)
    name = os.fsencode(target.name)  # a target without a name is refused elsewhere
    if len(name) > LONGEST_NAME - len(b".part"):
        name = name[: LONGEST_NAME - 30] + f"~{blake2b(name, digest_size=8).hexdigest()}".encode()
    return target.parent / os.fsdecode(name + b".part")


def find_work(target: Path) -> Manifest | None:
    """Return the work there is on a target; None if there is none.

    Raises:
        InputError: something else is in its place, or the manifest is damaged.
    """
    folder = work_folder(target)
    with failures_as(InputError, f"{folder} cannot be read; check its name and its permissions"):
        if not folder.is_symlink() and not folder.exists():
            return None
        names = set() if folder.is_symlink() or not folder.is_dir() else {path.name for path in folder.iterdir()}
        if folder.is_symlink() or not folder.is_dir() or (MANIFEST not in names and not all(map(_is_made_here, names))):
            raise InputError(f"{folder} exists but was not made by venhancer; move it away or choose another target")
        if MANIFEST not in names:
            return None  # a run was killed before it began
        content = (folder / MANIFEST).read_bytes()
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        raise InputError(
            f"{folder / MANIFEST} is damaged or from another program; move {folder} away or choose another target"
        ) from error


def describe_work(target: Path) -> str | None:
    """Return in words the finished work that a run will resume; None if there is none.

    Raises:
        InputError: see `find_work`.
    """
    work = find_work(target)
    if work is None or not work.parts:
        return None
    return f"resuming: {work.finished_frames} of {work.frames} frames are finished in {work_folder(target)}"


def is_finished(target: Path) -> bool:
    """Tell whether the target is complete and only its work folder was left behind by a run that was stopped.

    Raises:
        InputError: see `find_work`.
    """
    work = find_work(target)
    return work is not None and work.is_published(target)


def goes_on(target: Path, work: Manifest, origin: Origin) -> bool:
    """Return whether a run will resume the work on a target; not if it differs and nothing of it is finished.

    Args:
        target: whose work it is.
        work: what was found.
        origin: of the request; facts that are not known yet may be left out.

    Raises:
        InputError: it is of something else and some of it is finished; names all that differs.
    """
    differing = differences(work.origin, origin)
    if differing and work.parts:
        raise InputError(
            f"{work_folder(target)} holds work that was started differently ({'; '.join(differing)}); repeat that "
            "command to resume it, or pass --restart to discard it"
        )
    return not differing


def remove_all_but(folder: Path, names: set[str]) -> None:
    """Remove from a folder of work what runs put there, but for some names; whatever else is there stays."""
    for path in folder.iterdir():
        if path.name in names or not _is_made_here(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _is_made_here(name: str) -> bool:
    return name in {MANIFEST, LOCK} or name.startswith(MADE_HERE)
