"""Works through the jobs of a store: one process a job, one job a device, previews first, then in the order they came.

Whoever serves a page or an API asks for things here; what becomes of them is written into the store at once, so that a
server that is killed goes on where it was when it starts again.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

from venhancer.errors import VEnhancerError
from venhancer.serving.record import JobRecord
from venhancer.serving.store import JobStore
from venhancer.serving.telling import Told, understand

PATIENCE = 20.0
"""Seconds that a server that ends waits for its processes; they lose the segment they are at."""

SAID = 400  # characters of what a crashed process said last


class Busy(VEnhancerError):  # noqa: N818 - it names what happened
    """As many jobs wait as may."""


@dataclass(slots=True)
class Work:
    """A job under way.

    Attributes:
        process: that works on it.
        after: what becomes of the job once it has stopped; None while it is wanted.
        last: what it told last of its progress.
        said: what it said that was no message.
    """

    process: "subprocess.Popen[bytes]"
    after: Literal["queued", "paused", "cancelled", "removed"] | None = None
    last: Told = field(default_factory=lambda: Told(kind="progress", what="start"))
    said: str = ""
    end: Told | None = None


class Runner:
    """Works through the jobs of a store within its `running` block.

    Args:
        store: of the jobs.
        devices: one job is worked on at a time on each.
        dtype: number format, as for `load_pipeline`.
        most_waiting: jobs that may wait; more are refused.
    """

    def __init__(
        self, store: JobStore, devices: Sequence[str] = ("auto",), dtype: str = "auto", *, most_waiting: int = 100
    ) -> None:
        self.store, self.devices, self.dtype, self.most_waiting = store, tuple(devices), dtype, most_waiting
        self._changed = threading.Condition()
        self._works: dict[str, Work] = {}
        self._is_open = False

    @contextmanager
    def running(self) -> Iterator["Runner"]:
        """Work within the block; jobs that an earlier server was at when it ended are taken up.

        Raises:
            InputError: another server works on the store.
        """
        with self.store.alone():
            for record in self.store.records():
                if record.state == "working":
                    self.store.note(record, state="queued")
            self._is_open = True
            threads = [threading.Thread(target=self._work_on, args=(device,)) for device in self.devices]
            for thread in threads:
                thread.start()
            try:
                yield self
            finally:
                self._close()
                for thread in threads:
                    thread.join()

    def check_room(self) -> None:
        """Raise unless another job may wait.

        Raises:
            Busy: too many do.
        """
        waiting = sum(record.state == "queued" for record in self.store.records())
        if waiting >= self.most_waiting:
            raise Busy(f"{waiting} jobs are waiting, which is the most; try again when some are finished")

    def submitted(self) -> None:
        """Take notice of a new job in the store."""
        with self._changed:
            self._changed.notify_all()

    def progress(self, record: JobRecord) -> Told | None:
        """Return what a job told last; None unless it is under way."""
        with self._changed:
            work = self._works.get(record.id)
            return None if work is None else work.last

    def stop(self, record: JobRecord, after: Literal["paused", "cancelled"]) -> JobRecord:
        """Pause or cancel a job that waits or is under way, and return it; any other stays as it is.

        One under way ends at the next evaluation; finished segments are kept, and memory is free.
        """
        with self._changed:
            work = self._works.get(record.id)
            if work is not None:
                work.after = after
                _close_input(work)
                return record
            current = self.store.find(record.id)
            if current.state in ("queued", "paused"):
                return self.store.note(current, state=after)
            return current

    def resume(self, record: JobRecord) -> JobRecord:
        """Queue a job that was paused, cancelled or failed once more, and return it; it goes on where it was."""
        with self._changed:
            work = self._works.get(record.id)
            if work is not None:
                if work.after is not None:
                    work.after = "queued"
                return record
            current = self.store.find(record.id)
            if current.state in ("paused", "cancelled", "failed"):
                current = self.store.note(current, state="queued", reason="")
            self._changed.notify_all()
            return current

    def remove(self, record: JobRecord) -> None:
        """Remove a job and all that was made for it; one under way is killed."""
        with self._changed:
            work = self._works.get(record.id)
            if work is None:
                self.store.remove(record)
                return
            work.after = "removed"
            work.process.kill()
            self._changed.wait_for(lambda: record.id not in self._works, PATIENCE)

    def wait(self, identity: str, seconds: float) -> None:
        """Return when a job is not waiting or under way any more, or the time is up."""
        with self._changed:
            self._changed.wait_for(lambda: self.store.find(identity).state not in ("queued", "working"), seconds)

    def _close(self) -> None:
        with self._changed:
            self._is_open = False
            for work in self._works.values():
                work.after = work.after or "queued"
                _close_input(work)
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: not self._works, PATIENCE):
                for work in self._works.values():
                    work.process.kill()

    def _work_on(self, device: str) -> None:
        """Take job after job until the runner closes."""
        while True:
            with self._changed:
                record = self._next()
                while record is None and self._is_open:
                    self._changed.wait(5)
                    record = self._next()
                if record is None or not self._is_open:
                    return
                try:
                    record = self.store.note(record, state="working")
                    self._works[record.id] = work = Work(_start(self.store, record, device, self.dtype))
                except (OSError, VEnhancerError) as error:
                    with suppress(VEnhancerError):
                        self.store.note(record, state="failed", reason=self.store.plain(str(error), record))
                    continue
            self._attend(record, work)

    def _next(self) -> JobRecord | None:
        queued = [record for record in self.store.records() if record.state == "queued"]
        return min(queued, key=lambda record: (not record.preview, record.id), default=None)

    def _attend(self, record: JobRecord, work: Work) -> None:
        """Listen to a process until it ends, and note what became of its job."""
        began = time.monotonic()
        assert work.process.stdout is not None
        for line in work.process.stdout:
            told = understand(line)
            with self._changed:
                if told is None:
                    work.said = f"{work.said} {line.decode(errors='replace').strip()}"[-SAID:]
                elif told.kind == "progress":
                    work.last = told
                elif told.kind == "end":
                    work.end = told
                else:
                    record = self._note(record, _facts(self.store.plain(told.line, record), told, record))
        with work.process as process:
            code = process.wait()
        with self._changed:
            outcome = self._outcome(record, work, code)
            if outcome["state"] == "removed":
                self.store.remove(record)
            else:
                self._note(record, outcome | {"seconds": record.seconds + time.monotonic() - began})
            del self._works[record.id]
            self._changed.notify_all()

    def _note(self, record: JobRecord, changes: dict[str, object]) -> JobRecord:
        """Return the job with changes; a full disk must not end the runner."""
        try:
            return self.store.note(record, **changes)
        except VEnhancerError:
            return record.model_copy(update=changes)

    def _outcome(self, record: JobRecord, work: Work, code: int) -> dict[str, object]:
        if work.after == "removed":
            return {"state": "removed"}
        if work.end is not None and work.end.outcome == "finished":
            return {"state": "finished", "reason": ""}
        if work.end is not None and work.end.outcome == "failed":
            return {"state": "failed", "reason": self.store.plain(work.end.line, record)}
        if work.after is not None:
            return {"state": work.after}
        how = f"ended with {code}" if work.end is None else "stopped by itself"
        said = self.store.plain(work.said.strip().rpartition("  ")[2], record)
        reason = f"the process that worked on it {how}{f': {said}' if said else ''}; resume the job to try again"
        return {"state": "failed", "reason": reason}


def _facts(line: str, told: Told, record: JobRecord) -> dict[str, object]:
    if told.kind == "warning":
        return {"warnings": (*record.warnings, line)}
    return {"frames": told.frames, "pixels": told.pixels, "not_kept": told.not_kept}


def _start(store: JobStore, record: JobRecord, device: str, dtype: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-P", "-m", "venhancer.serving.process", str(store.folder / record.id), device, dtype]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def _close_input(work: Work) -> None:
    assert work.process.stdin is not None
    with suppress(OSError):
        work.process.stdin.close()
