"""Jobs as folders in one folder: what survives a restart, and all that the page and the API may hand out."""

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import Timeout

from venhancer.durable import locked
from venhancer.errors import InputError, JobFailed, SettingsError, WeightsError
from venhancer.jobs.work import work_folder
from venhancer.media.source import failures_as
from venhancer.model_files.folders import EMBEDDED, PUBLISHED, find_model
from venhancer.serving.record import RECORD, RESULT, JobRecord, read_record, write_record
from venhancer.settings import EnhanceSettings

LOCK = "lock"
UPLOADS = "uploads"
IDENTITY = re.compile(r"[0-9a-f]{28}")


class JobStore:
    """The jobs in a folder.

    Args:
        folder: made if it is not there.
        inputs: folder of files that jobs may be asked for by name; None for none.
        models: folders of models that may be asked for, beside those that have a name.

    Raises:
        InputError: a folder cannot be used.
        WeightsError: a model is not there.
    """

    def __init__(self, folder: Path, *, inputs: Path | None = None, models: Sequence[str] = ()) -> None:
        self.folder = folder.resolve()
        with failures_as(InputError, f"{folder} cannot be made; choose a folder that may be written to"):
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / UPLOADS).mkdir(exist_ok=True)
        if inputs is not None and not inputs.is_dir():
            raise InputError(f"{inputs} is not a folder; pass the folder that files may be chosen from")
        self.inputs = None if inputs is None else inputs.resolve()
        self._models = tuple(models)
        self._known: dict[str, tuple[tuple[int, int], JobRecord]] = {}
        for model in models:
            find_model(model)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other servers away within the block.

        Raises:
            InputError: one is there already.
        """
        with failures_as(InputError, f"{self.folder} cannot be written to; choose another folder"):
            try:
                lock = locked(self.folder / LOCK)
                lock.__enter__()
            except Timeout as error:
                raise InputError(f"another server works on {self.folder}; stop it or name another folder") from error
        try:
            yield
        finally:
            lock.__exit__(None, None, None)

    @property
    def models(self) -> tuple[str, ...]:
        """The models that may be asked for, the embedded one first."""
        there = [EMBEDDED]
        for name in PUBLISHED:
            with suppress(WeightsError):
                find_model(name)
                there.append(name)
        return (*there, *self._models)

    def check_model(self, settings: EnhanceSettings) -> None:
        """Raise unless a model may be asked for: a name from outside must lead to no other folder.

        Raises:
            SettingsError: it may not.
        """
        if settings.model not in self.models:
            offered = ", ".join(self.models)
            raise SettingsError(f"model {settings.model[:80]!r} is not offered here; choose one of {offered}")

    def add(
        self, source: Path, settings: EnhanceSettings, *, name: str, ending: str = ".mp4", preview: bool = False
    ) -> JobRecord:
        """Return a new job, queued.

        Args:
            source: the clip; taken over if it lies among the uploads, else left where it is.
            settings: what is asked for.
            name: of the source, as the user calls it.
            ending: of the target's name.
            preview: see `JobRecord`.

        Raises:
            InputError: the source cannot be read.
            JobFailed: the job cannot be written.
        """
        created = time.time()
        identity = f"{int(created * 1000):012x}{secrets.token_hex(8)}"
        folder = self.folder / identity
        with failures_as(JobFailed, "the job cannot be written; make room"):
            folder.mkdir()
        is_upload = source.resolve().is_relative_to(self.folder / UPLOADS)
        kept = f"source{source.suffix.lower()}" if is_upload else str(source.resolve())
        if is_upload:
            with failures_as(InputError, f"{name} cannot be read; upload it again"):
                _link(source, folder / kept)
        record = JobRecord(
            id=identity,
            created=created,
            name=name,
            source=kept,
            ending=ending,
            settings=settings.model_dump(mode="json", exclude_unset=True),
            preview=preview,
        )
        write_record(folder, record)
        return record

    def records(self) -> list[JobRecord]:
        """Return all jobs, oldest first; folders that are none are passed over."""
        found = []
        for folder in sorted(self.folder.iterdir()):
            if IDENTITY.fullmatch(folder.name) and (folder / RECORD).is_file():
                with suppress(InputError):
                    found.append(self._read(folder))
        return found

    def _read(self, folder: Path) -> JobRecord:
        """Return the record in a folder, read only if it has changed; records are replaced, never written into."""
        try:
            state = (folder / RECORD).stat()
        except OSError as error:
            raise InputError(f"{folder} no longer exists; list the jobs again") from error
        mark = (state.st_ino, state.st_mtime_ns)
        known = self._known.get(folder.name)
        if known is None or known[0] != mark:
            self._known[folder.name] = known = mark, read_record(folder)
        return known[1]

    def find(self, identity: str) -> JobRecord:
        """Return a job.

        Raises:
            InputError: there is none.
        """
        if not IDENTITY.fullmatch(identity) or not (self.folder / identity / RECORD).is_file():
            raise InputError(f"job {identity[:40]!r} is unknown; list the jobs to see which exist")
        return self._read(self.folder / identity)

    def note(self, record: JobRecord, **changes: object) -> JobRecord:
        """Return the job with changes, once they are on the disk.

        Raises:
            JobFailed: they cannot be written.
        """
        changed = record.model_copy(update=changes)
        write_record(self.folder / record.id, changed)
        return changed

    def remove(self, record: JobRecord) -> None:
        """Remove a job and all that was made for it."""
        folder = self.folder / record.id
        with suppress(OSError):
            (folder / RECORD).unlink()
        shutil.rmtree(folder, ignore_errors=True)
        self._known.pop(record.id, None)

    def source(self, record: JobRecord) -> Path:
        """Return where a job's source is."""
        return self.folder / record.id / record.source

    def target(self, record: JobRecord) -> Path:
        """Return where a job's result is, once it is finished."""
        return self.folder / record.id / RESULT / f"{record.title}{record.ending}"

    def path(self, record: JobRecord, name: str) -> Path | None:
        """Return where something that was made beside the result is; None if it is not there."""
        path = self.folder / record.id / name
        return path if path.is_file() else None

    def chosen(self, name: str) -> Path:
        """Return the file of a name below the folder of inputs.

        Raises:
            InputError: there is no such folder, no such file in it, or the name leads elsewhere.
        """
        if self.inputs is None:
            raise InputError("files of the server cannot be chosen; start it with --inputs FOLDER, or upload the file")
        with failures_as(InputError, "the file cannot be read; choose another"):
            try:
                path = (self.inputs / name).resolve()
            except ValueError as error:  # a zero byte
                raise InputError(f"file {name[:80]!r} is not in the input folder; choose one from the list") from error
            if not path.is_relative_to(self.inputs) or not path.is_file():
                raise InputError(f"file {name[:80]!r} is not in the input folder; choose one from the list")
        return path

    def choices(self) -> list[str]:
        """Return the names of all files that may be chosen, hidden ones left out."""
        if self.inputs is None:
            return []
        names = [path.relative_to(self.inputs) for path in sorted(self.inputs.rglob("*")) if path.is_file()]
        return [name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts)]

    def plain(self, line: str, record: JobRecord) -> str:
        """Return a line without the server's paths: the source by its name, everything else by its own."""
        folder = str(self.folder / record.id)
        work = str(work_folder(self.target(record)))
        named = line.replace(work, "the job").replace(str(self.source(record)), record.name)
        return named.replace(f"{folder}{os.sep}", "").replace(folder, "the job").replace(f"{self.folder}{os.sep}", "")


def _link(source: Path, place: Path) -> None:
    try:
        place.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, place)
