"""The work on one target, kept beside it until the target is whole: a run that stops can be resumed.

`open_job` takes up the work there is, or begins it; each finished segment is handed to `Job.keep`, and at the end
`Job.publish` moves the result into place. `venhancer.jobs.work` describes the folder. No torch at import.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import Timeout

from venhancer.durable import flush_to_disk, locked, write_whole
from venhancer.errors import InputError, JobFailed, Stopped
from venhancer.jobs.origin import Origin, differences
from venhancer.jobs.work import (
    LOCK,
    MANIFEST,
    Manifest,
    Mark,
    Part,
    find_work,
    goes_on,
    remove_all_but,
    work_folder,
)
from venhancer.media.source import failures_as
from venhancer.media.writing.pictures_out import unit_of

if TYPE_CHECKING:
    from torch import Tensor  # named, not loaded


class Job:
    """The work on a target; `open_job` makes it.

    Args:
        target: the file being made.
        manifest: how far it has come.
    """

    def __init__(self, target: Path, manifest: Manifest) -> None:
        self.named = target
        self.target = unit_of(target)
        self.folder = work_folder(target)
        self.manifest = manifest

    @property
    def finished_segments(self) -> int:
        """Segments that are finished: the number of the next."""
        return len(self.manifest.parts)

    @property
    def segments(self) -> list[Path]:
        """The files of the finished segments, in order."""
        return [self.folder / part.file for part in self.manifest.parts]

    @property
    def is_published(self) -> bool:
        """Whether the target is in place, whole, so that nothing is left to do."""
        return self.manifest.is_published(self.target)

    @property
    def result(self) -> Path:
        """Where the result is put together, a file or a folder; its name ends as the target's does."""
        return self.folder / f"result{self.target.suffix.lower()}"

    @property
    def resumption(self) -> str:
        """What can be resumed, in words."""
        frames, whole = self.manifest.finished_frames, self.manifest.frames
        return (
            f"{frames} of {whole} frames are finished and kept in {self.folder}; run the same command again to resume"
        )

    def carry(self) -> "dict[str, Tensor]":
        """Return what the next segment needs of the newest finished one; empty if it needs nothing.

        Raises:
            JobFailed: its file is missing or damaged.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        if self.manifest.carry is None:
            return {}
        path = self.folder / self.manifest.carry
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            reason = " ".join(str(error).split())
            raise JobFailed(f"{path} is damaged ({reason}); pass --restart to start over") from error

    def unfinished(self, suffix: str) -> Path:
        """Return where the next segment is written until it is kept; `suffix` is its container's."""
        return self.folder / f"unfinished{suffix}"

    def keep(self, path: Path, frames: int, carry: "Mapping[str, Tensor]") -> None:
        """Record the next finished segment; from now on the work resumes after it, whatever happens.

        Args:
            path: its file, from `unfinished`.
            frames: in it.
            carry: what the segment after it needs; empty if nothing.

        Raises:
            JobFailed: it could not be written; the work is unchanged.
        """
        number, before = self.finished_segments, self.manifest.carry
        name = f"segment_{number:05d}{path.suffix}"
        with self._failing():
            newest = self._save_carry(f"carry_{number:05d}.safetensors", carry) if carry else None
            flush_to_disk(path)
            part = Part(file=name, bytes=path.stat().st_size, frames=frames)
            path.replace(self.folder / name)
            self._note(parts=(*self.manifest.parts, part), carry=newest)
            if before is not None:
                (self.folder / before).unlink(missing_ok=True)

    def decide(self, **choices: object) -> None:
        """Note what was chosen while the work went on, and must stay for the rest of it.

        Raises:
            JobFailed: it could not be brought to the disk.
        """
        with self._failing():
            self._note(choices={**self.manifest.choices, **choices})

    def publish(self, *, overwrite: bool = False) -> None:
        """Move the result into the target's place.

        Raises:
            JobFailed: it cannot be moved, or the target has come to be meanwhile; the work is kept.
        """
        if not overwrite and _is_in_the_way(self.target):
            raise JobFailed(f"{self.target} appeared while it was being made here; move it away")
        with self._failing():
            for path in (*sorted(self.result.rglob("*")), self.result):
                flush_to_disk(path)
            self._note(result=Mark.of(self.result))
            self.result.replace(self.target)
            flush_to_disk(self.target.parent)

    def begin(self) -> None:
        """Write the manifest of new work, replacing any earlier work.

        Raises:
            JobFailed: it cannot be written.
        """
        with self._failing():
            remove_all_but(self.folder, {LOCK})
            self._note()

    def take_up(self) -> None:
        """Check the finished segments and clear away what a killed run left unfinished.

        Raises:
            InputError: a finished segment is not as it was.
        """
        for part in () if self.is_published else self.manifest.parts:
            path = self.folder / part.file
            if not path.is_file() or path.stat().st_size != part.bytes:
                raise InputError(f"{path} is missing or has changed; pass --restart to start over")
        names = {MANIFEST, LOCK, self.manifest.carry or "", *(part.file for part in self.manifest.parts)}
        remove_all_but(self.folder, names)

    def discard(self) -> None:
        """Remove the work, the manifest last; `open_job` removes the folder if nothing else is in it."""
        with suppress(OSError):
            remove_all_but(self.folder, {MANIFEST, LOCK})
            remove_all_but(self.folder, {LOCK})

    def _save_carry(self, name: str, carry: "Mapping[str, Tensor]") -> str:
        from safetensors.torch import save

        write_whole(self.folder / name, save({key: tensor.cpu().contiguous() for key, tensor in carry.items()}))
        return name

    def _note(self, **changes: object) -> None:
        manifest = self.manifest.model_copy(update=changes)
        write_whole(self.folder / MANIFEST, manifest.model_dump_json(indent=1))
        self.manifest = manifest

    @contextmanager
    def _failing(self) -> Iterator[None]:
        with failures_as(JobFailed, f"{self.folder} cannot be written; check its free space and permissions"):
            yield


def _is_in_the_way(target: Path) -> bool:
    """Tell whether anything would be lost where a target goes; an empty folder is nothing."""
    if target.is_dir() and not target.is_symlink():
        return any(target.iterdir())
    return target.exists() or target.is_symlink()


@contextmanager
def open_job(
    target: Path,
    origin: Origin,
    *,
    frames: int,
    choices: Mapping[str, object] | None = None,
    restart: bool = False,
) -> Iterator[Job]:
    """Give the work on a target, taken up or begun, which is this process's alone within the block.

    When the block ends, published work is removed. If it ends early, finished segments are kept, and if there are none,
    nothing is left.

    Args:
        target: the file to make.
        origin: what it depends on.
        frames: of the whole output.
        choices: see `Manifest`; used only when work begins.
        restart: discard what there is.

    Raises:
        InputError: another run is active; or the folder holds other or damaged work, or something else.
        JobFailed: the folder cannot be written; one raised in the block is raised again with a note of the work kept.
        Stopped: after Ctrl-C in the block, saying the same.
    """
    find_work(target)  # before anything is written into a folder that is not ours
    with _locked(target):
        fresh = Manifest(origin=dict(origin), choices=dict(choices or {}), frames=frames)
        job, is_new = _choose(target, fresh, restart=restart)
        try:
            job.begin() if is_new else job.take_up()
            yield job
        except KeyboardInterrupt as interrupt:
            raise Stopped(job.resumption if job.finished_segments else "nothing was written") from interrupt
        except JobFailed as error:
            if job.finished_segments:
                raise JobFailed(f"{error}; {job.resumption}") from error
            raise
        finally:
            if job.is_published or not job.finished_segments:
                job.discard()


def _choose(target: Path, fresh: Manifest, *, restart: bool) -> tuple[Job, bool]:
    """Return the job to do, and whether it begins."""
    work = None if restart else find_work(target)
    is_old = work is not None and work.is_published(target) and differences(work.origin, fresh.origin)
    if work is None or is_old or not goes_on(target, work, fresh.origin):
        return Job(target, fresh), True
    return Job(target, work), False


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Hold the lock of a target's work, and remove the folder if it is empty in the end."""
    folder = work_folder(target)
    with ExitStack() as stack:
        with failures_as(InputError, f"{folder} cannot be created; choose a writable folder"):
            try:
                folder.mkdir(exist_ok=True)
                stack.callback(_remove_if_empty, folder)
                stack.enter_context(locked(folder / LOCK))
            except (Timeout, FileNotFoundError) as error:  # the second: the other run has just finished
                raise InputError(f"another run is making {target}; wait for it, or choose another target") from error
        yield


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
