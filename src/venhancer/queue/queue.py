"""A folder of files, enhanced one after the other into another folder; what fails is recorded and passed over.

The same call later resumes: files finished with the same settings are left alone, unfinished ones continue where
they stopped, failed ones are tried again. `venhancer.queue.record` keeps what became of each.
"""

import os
import unicodedata
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from filelock import Timeout

from venhancer.durable import locked
from venhancer.enhance import enhance_video
from venhancer.errors import InputError, Stopped, VEnhancerError
from venhancer.jobs.origin import origin_of
from venhancer.jobs.outcome import losses
from venhancer.jobs.work import Mark
from venhancer.media.reading.isolation import inspect
from venhancer.media.source import failures_as
from venhancer.media.stills.numbering import PICTURE_NAMES, UNREAD_NAMES, pattern_of
from venhancer.media.writing.encoders import CODECS, PREFERRED
from venhancer.progress import Progress
from venhancer.queue.record import RECORD, Entry, Record, read_record
from venhancer.settings import EnhanceSettings

if TYPE_CHECKING:
    import venhancer.pipeline  # named, not loaded

LOCK = ".venhancer-queue.lock"
VIDEOS = {
    *(".3gp", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4"),
    *(".mpeg", ".mpg", ".mts", ".mxf", ".qt", ".ts", ".vob", ".webm", ".wmv"),
}
"""Names of videos: one that cannot be used has failed. A file of another name is a clip if it can be opened as one."""
PICTURES = {*PICTURE_NAMES, *UNREAD_NAMES} - {".webp"}
"""Names of pictures: they are passed over, for many of them are a clip together or no clip at all."""
A_PICTURE = "a picture; pass it by itself, or numbered pictures as FOLDER/%05d.png"
ALIKE = {".m4v": ".mp4", ".qt": ".mov"}
HOLDS_ALL = ".mkv"


class Item(NamedTuple):
    """A file of the queue.

    Args:
        name: its path below the folder, with slashes.
        source: where it is.
        target: where its output goes; None if it is passed over.
        reason: why.
    """

    name: str
    source: Path
    target: Path | None
    reason: str = ""


@runtime_checkable
class Watcher(Protocol):
    """An observer of the queue."""

    @property
    def progress(self) -> Progress:
        """Told of the evaluations of the file under way."""
        ...

    def tell(self, name: str, entry: Entry) -> None:
        """Record the outcome of a file, or that its work begins."""
        ...


def list_items(folder: Path, out: Path, settings: EnhanceSettings) -> list[Item]:
    """Return the files of a folder and of those below it, in order, each with its place in the same tree below `out`.

    Hidden files, unfinished work and all below `out` are left out.

    Raises:
        InputError: there are none, `out` is the folder itself, or two files would have one output.
    """
    if out.resolve() == folder.resolve():
        raise InputError(f"{out} is the input folder; choose another folder for the outputs")
    if out.suffix.lower() in PREFERRED or (out.exists() and not out.is_dir()):
        raise InputError(f"{folder} is a folder, so {out} must be one too; pass an output folder")
    with failures_as(InputError, f"{folder} cannot be read; check its permissions"):
        items = [_make_item(path, folder, out, settings) for path in _files(folder, out)]
    if not items:
        raise InputError(f"{folder} contains no files; pass a folder of videos")
    if all(item.source.suffix.lower() in PICTURES for item in items):
        pattern = next(filter(None, (pattern_of(item.source) for item in items)), folder / "%05d.png")
        raise InputError(
            f"{folder} contains pictures only; pass numbered pictures as one clip, {pattern}, or pictures one by one"
        )
    targets: dict[str, Item] = {}
    for item in items:
        if item.target is not None:
            other = targets.setdefault(unicodedata.normalize("NFC", str(item.target)).casefold(), item)
            if other is not item:
                raise InputError(f"{other.name} and {item.name} would both become {item.target}; rename one of them")
    return items


def enhance_folder(
    folder: Path,
    out: Path,
    settings: EnhanceSettings,
    load: "Callable[[], venhancer.pipeline.VEnhancerPipeline]",
    watcher: Watcher,
    *,
    overwrite: bool = False,
    restart: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Record:
    """Enhance all videos of a folder, and return what became of each.

    Args:
        folder: of the inputs.
        out: folder of the outputs; made if it is not there.
        settings: for all files.
        load: gives the model; called once, before the first file that needs it.
        watcher: notified of each file.
        overwrite: replace outputs that are there from elsewhere, or from other settings.
        restart: discard unfinished work.
        stop: called between files and after each segment; True stops there.

    Raises:
        InputError: there are no files, two would have one output, or `out` cannot be used or is used by another run.
        JobFailed: the record cannot be written.
        Stopped: `stop` or Ctrl-C requested it; the same call resumes.
    """
    items = list_items(folder, out, settings)
    with failures_as(InputError, f"{out} cannot be created; create its parent folder first"):
        out.mkdir(exist_ok=True)
    with ExitStack() as stack:
        with failures_as(InputError, f"{out} is not writable; choose another folder"):
            try:
                stack.enter_context(locked(out / LOCK))
            except Timeout as error:
                raise InputError(f"another run works on {out}; wait for it, or choose another folder") from error
        queue = _Queue(out, settings, load, watcher, overwrite, restart, stop, read_record(out))
        for item in items:
            queue.do(item)
        return queue.record


@dataclass(slots=True)
class _Queue:
    """The queue under way: what is requested, the model once it is loaded, and the record."""

    out: Path
    settings: EnhanceSettings
    load: "Callable[[], venhancer.pipeline.VEnhancerPipeline]"
    watcher: Watcher
    overwrite: bool
    restart: bool
    stop: Callable[[], bool]
    record: Record
    pipeline: "venhancer.pipeline.VEnhancerPipeline | None" = None

    def do(self, item: Item) -> None:
        """Enhance one file, or skip it, and record the outcome."""
        self._stop_if_asked()
        entry = self._earlier_entry(item)
        if entry is None:
            self.pipeline = self.pipeline or self.load()  # what is wrong with the model ends the queue
            self._stop_if_asked()
            entry = self._enhance(item, self.pipeline)
        if entry.state != "finished":
            self._stop_if_asked()  # Ctrl-C reaches the process that looks at a file too: that is no failure
        self._note(item, entry)

    def _stop_if_asked(self) -> None:
        if self.stop():
            raise Stopped(f"files finished: {self.record.count('finished')}; run the same command again to resume")

    def _earlier_entry(self, item: Item) -> Entry | None:
        """Return what became of a file if there is nothing to do for it."""
        if item.target is None:
            return Entry(state="skipped", reason=item.reason)
        try:
            if item.source.suffix.lower() not in VIDEOS and inspect(item.source).kind == "still":
                return Entry(state="skipped", reason=A_PICTURE)
        except InputError as error:
            return Entry(state="skipped", reason=str(error))
        try:
            origin = origin_of(item.source, self.settings)
        except InputError as error:
            return Entry(state="failed", reason=str(error))
        before = self.record.files.get(item.name, Entry(state="waiting"))
        if not before.is_done(item.target, origin):
            return None
        return before.model_copy(update={"state": "finished", "result": Mark.of(item.target)})

    def _enhance(self, item: Item, pipeline: "venhancer.pipeline.VEnhancerPipeline") -> Entry:
        """Return what becomes of a file that is worked on."""
        source, target = item.source, item.target
        assert target is not None
        entry = Entry(
            state="working",
            target=target.relative_to(self.out).as_posix(),
            origin=origin_of(source, self.settings),
            replaced=Mark.of(target) if target.exists() else None,
        )
        self._note(item, entry)
        try:
            with failures_as(InputError, f"{target.parent} cannot be created; check what is there"):
                target.parent.mkdir(parents=True, exist_ok=True)
            report = enhance_video(
                source,
                target,
                pipeline,
                self.settings,
                overwrite=self.overwrite,
                restart=self.restart,
                stop=self.stop,
                progress=self.watcher.progress,
            )
        except VEnhancerError as error:
            return entry.model_copy(update={"state": "failed", "reason": str(error)})
        except Exception as error:  # one file must not end the work on all others
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            return entry.model_copy(update={"state": "failed", "reason": reason})
        outcome = {
            "state": "finished",
            "seconds": round(report.seconds, 2),
            "not_kept": tuple(losses(report.plan, target)),
            "result": Mark.of(target),
        }
        return entry.model_copy(update=outcome)

    def _note(self, item: Item, entry: Entry) -> None:
        self.record = self.record.noting(item.name, entry)
        self.record.write(self.out)
        self.watcher.tell(item.name, entry)


def _files(folder: Path, out: Path) -> list[Path]:
    """Return the files of a folder and of those below it, by name."""
    paths = []
    for parent, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if _is_meant(name) and (Path(parent) / name).resolve() != out.resolve()]
        paths += [Path(parent) / name for name in files if _is_meant(name) and name != RECORD]
    return sorted(paths)


def _is_meant(name: str) -> bool:
    return not name.startswith(".") and not name.endswith(".part")


def _raise(error: OSError) -> None:
    raise error


def _make_item(path: Path, folder: Path, out: Path, settings: EnhanceSettings) -> Item:
    name = path.relative_to(folder)
    suffix = path.suffix.lower()
    if suffix in PICTURES:
        return Item(name.as_posix(), path, None, A_PICTURE)
    held = tuple(PREFERRED) if settings.codec is None else CODECS[settings.codec].suffixes
    same = ALIKE.get(suffix, suffix)
    if same in held:
        target = name.with_suffix(path.suffix if same == suffix else same)
    else:
        ending = HOLDS_ALL if HOLDS_ALL in held else held[0]
        target = name.with_suffix(ending) if suffix in VIDEOS else name.with_name(name.name + ending)
    return Item(name.as_posix(), path, out / target)
