"""What became of each item, as the union of what every run has noted: no database, no locks, nothing rewritten.

Each run appends to a file of its own, `.venhancer-fleet/ledger/HOST-PID-TOKEN.000.jsonl`, one line an event; whoever
wants to know reads all of them. Events of one item add up to the same whatever order they are read in. A run says
every few seconds that it lives; what a dead one was at is taken up by others. That two runs begin one item at the same
moment is rare and harmless: outputs have one name and appear whole.
"""

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil

from venhancer.fleet.stores import OWN, Store, StoreFailed

LEDGER = f"{OWN}/ledger"
BEAT, LEASE = 20.0, 90.0  # seconds: how often a run says that it lives, and after how long a silent one is dead
PATIENCE = 2.0  # seconds for which a store that refuses is asked again: lines are kept, work goes on
REST = 10.0  # seconds for which it is then left alone
LINES_A_PART = 200  # where a store cannot append, so that little is written again
INTERRUPTIONS_A_TRY = 3
"""So often an item is begun and its worker killed from outside before that counts as a try of its own."""

State = Literal["waiting", "running", "done", "failed", "quarantined", "skipped"]
STATES: tuple[State, ...] = ("waiting", "running", "done", "failed", "quarantined", "skipped")
Event = Literal["running", "done", "failed", "quarantined", "skipped", "interrupted", "returned", "released"]
Line = Mapping[str, Any]


@dataclass(slots=True)
class Standing:
    """What is known of one item.

    Args:
        id: of the item.
        is_done: its output and its record are in place.
        is_skipped: it is no clip.
        failures: when it failed.
        interruptions: when whoever worked on it was killed, and a run lived to tell.
        runs: who began it and has not said how it ended, and when.
        quarantined: when it was put aside; likewise `released`.
        reason: of the newest failure, or why it was skipped.
        reason_time: when that was.
        facts: of the output: frames, seconds, where it is.
        time: of the newest event.
    """

    id: str = ""
    time: float = 0.0
    is_done: bool = False
    is_skipped: bool = False
    failures: tuple[float, ...] = ()
    interruptions: tuple[float, ...] = ()
    runs: dict[str, float] | None = None
    quarantined: float = 0.0
    released: float = 0.0
    reason: str = ""
    reason_time: float = 0.0
    facts: Mapping[str, Any] | None = None

    def take(self, line: Line, writer: str) -> None:
        """Take in an event."""
        event, moment = line["event"], float(line["time"])
        self.id, self.time = line.get("id", self.id), max(self.time, moment)
        if event == "running":
            self.runs = {**(self.runs or {}), writer: moment}
            return
        if self.runs and event != "released" and self.runs.get(writer, moment + 1) <= moment:
            self.runs = {name: began for name, began in self.runs.items() if name != writer} or None
        if event == "done":
            self.is_done, self.facts = True, line.get("facts")
        elif event == "skipped":
            self.is_skipped = True
        elif event == "failed":
            self.failures = (*self.failures, moment)
        elif event == "interrupted":
            self.interruptions = (*self.interruptions, moment)
        elif event == "quarantined":
            self.quarantined = max(self.quarantined, moment)
        elif event == "released":
            self.released = max(self.released, moment)
        if "reason" in line and moment >= self.reason_time:
            self.reason, self.reason_time = line["reason"], moment

    def tries(self) -> int:
        """Return how often it was tried since it was last released; some interruptions together count as one try."""
        failures, interruptions = (
            sum(moment > self.released for moment in moments) for moments in (self.failures, self.interruptions)
        )
        return failures + interruptions // INTERRUPTIONS_A_TRY

    def state(self, lives: Callable[[str], bool]) -> State:
        """Return the state it is in, given who is alive."""
        if self.is_done:
            return "done"
        if self.is_skipped:
            return "skipped"
        if self.quarantined > self.released:
            return "quarantined"
        if self.runs and any(map(lives, self.runs)):
            return "running"
        return "failed" if any(moment > self.released for moment in self.failures) else "waiting"


@dataclass(slots=True)
class Writer:
    """A run that keeps, or kept, a ledger.

    Args:
        about: what it says of itself in its first line.
        beat: when it last said anything.
        is_closed: whether it ended in good order.
    """

    about: dict[str, Any] = field(default_factory=dict)
    beat: float = 0.0
    is_closed: bool = False

    def lives(self) -> bool:
        """Tell whether it is still at work: here by its process, elsewhere by when it was last heard of."""
        if self.is_closed:
            return False
        if self.about.get("place") == _place():
            with suppress(psutil.NoSuchProcess):
                return abs(psutil.Process(self.about["pid"]).create_time() - self.about["started"]) < 1
            return False
        return time.time() - self.beat < LEASE


class Ledger:
    """The union of all runs' ledgers in a folder of outputs.

    Args:
        store: the folder.
        own: name of this run, whose ledger is not read: the run takes in what it notes itself.
    """

    def __init__(self, store: Store, own: str = "") -> None:
        self.store, self.own = store, own
        self.standings: dict[str, Standing] = {}
        self.writers: dict[str, Writer] = {}
        self._read: dict[str, int] = {}

    def refresh(self) -> None:
        """Read what has been noted since.

        Raises:
            StoreFailed: the store does not answer.
        """
        for name, stored in sorted(self.store.files(LEDGER).items()):
            before = self._read.get(name, 0)
            writer = name.rpartition("/")[2].split(".")[0]
            if stored.bytes <= before or writer == self.own or not name.endswith(".jsonl"):
                continue
            with suppress(FileNotFoundError):
                content = self.store.read(name, before)
                whole = content.rfind(b"\n") + 1  # a run killed while it wrote leaves half a line
                self._read[name] = before + whole
                self._take(writer, content[:whole])

    def take(self, line: Line, writer: str) -> None:
        """Take in one line of a run's ledger."""
        known = self.writers.get(writer)
        if known is None:
            known = self.writers[writer] = Writer()
        known.beat = max(known.beat, float(line.get("time", 0)))
        event = line.get("event")
        if event == "began":
            known.about = dict(line)
        elif event == "closed":
            known.is_closed = True
        elif "key" in line:
            standing = self.standings.get(line["key"])
            if standing is None:
                standing = self.standings[line["key"]] = Standing()
            standing.take(line, writer)

    def standing(self, key: str) -> Standing:
        """Return what is known of an item."""
        return self.standings.get(key) or Standing()

    def lives(self, writer: str) -> bool:
        """Tell whether a run is at work."""
        known = self.writers.get(writer)
        return writer == self.own or (known is not None and known.lives())

    def state(self, key: str) -> State:
        """Return the state of an item."""
        return self.standing(key).state(self.lives)

    def tries(self, key: str) -> int:
        """Return how often an item was tried."""
        return self.standing(key).tries()

    def others(self, key: str, me: str) -> list[tuple[float, str]]:
        """Return the living runs but `me` that are at an item, the first to begin first."""
        runs = self.standing(key).runs or {}
        return sorted((began, writer) for writer, began in runs.items() if writer != me and self.lives(writer))

    def newest(self) -> dict[str, Standing]:
        """Return what is known of each item by its id: of the newest, where its source or settings have changed."""
        found: dict[str, Standing] = {}
        for standing in self.standings.values():
            other = found.get(standing.id)
            if other is None or other.time < standing.time:
                found[standing.id] = standing
        return found

    def _take(self, writer: str, content: bytes) -> None:
        for line in content.splitlines():
            with suppress(ValueError, KeyError, TypeError):  # a line that nobody can read says nothing
                self.take(json.loads(line), writer)


class LedgerWriter:
    """This run's own ledger, for as long as its `with` block lasts.

    Args:
        store: the folder of outputs.
        about: what the first line says beside who writes: how many items there are.
    """

    def __init__(self, store: Store, **about: object) -> None:
        self.store = Store(store.address, patience=PATIENCE)
        self.name = f"{_plain(socket.gethostname())}-{os.getpid()}-{secrets.token_hex(4)}"
        process = psutil.Process()
        own = {"place": _place(), "pid": process.pid, "started": process.create_time(), "host": socket.gethostname()}
        self._part, self._lines, self._kept = 0, 0, b""
        self._pending: list[bytes] = []
        self._again = 0.0
        self._has_news = False  # a run with nothing to do leaves no ledger
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._beating = threading.Thread(target=self._beat, daemon=True)
        self._add({"event": "began", **own, **about})

    def note(self, event: Event, key: str, item: str, **more: object) -> Line:
        """Note an event of an item, to be written by `flush`, and return its line.

        Args:
            event: what happened.
            key: of the item and all it depends on.
            item: its id.
            more: the reason of a failure, the facts of an output.
        """
        self._has_news = True
        return self._add({"event": event, "key": key, "id": item, **more})

    def flush(self) -> bool:
        """Write what was noted; tell whether it is written, for a store may refuse, and then it is kept for later."""
        if time.monotonic() < self._again:
            return False
        with self._lock:
            try:
                self._write()
            except (StoreFailed, OSError):
                self._again = time.monotonic() + REST
                return False
            return True

    def close(self) -> bool:
        """Note that the run ended in good order."""
        self._ended.set()
        self._again = 0.0
        self._add({"event": "closed"})
        return self.flush()

    def __enter__(self) -> "LedgerWriter":
        self.flush()
        self._beating.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _add(self, line: dict[str, object]) -> Line:
        whole = {"time": time.time(), **line}
        with self._lock:
            self._pending.append(json.dumps(whole).encode() + b"\n")
        return whole

    def _write(self) -> None:
        content = b"".join(self._pending)
        if not content or not self._has_news:
            return
        name = f"{LEDGER}/{self.name}.{self._part:03d}.jsonl"
        if self.store.is_local:
            path = self.store.local(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            _append(path, content)
        else:
            self.store.replace(name, self._kept + content)
            self._kept += content
            self._lines += len(self._pending)
            if self._lines >= LINES_A_PART:
                self._part, self._lines, self._kept = self._part + 1, 0, b""
        self._pending.clear()

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            if self._has_news:
                self._add({"event": "lives"})
                self.flush()


def _append(path: os.PathLike[str], content: bytes) -> None:
    """Add whole lines to a file; on a full disk what came of them is taken back."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        before = os.fstat(descriptor).st_size
        try:
            written = os.write(descriptor, content)
        except OSError:
            os.ftruncate(descriptor, before)
            raise
        if written < len(content):
            os.ftruncate(descriptor, before)
            raise OSError("no space left")
    finally:
        os.close(descriptor)


def _place() -> str:
    """Return what processes share that see one another: the host and, in containers, the space of their numbers."""
    with suppress(OSError):
        return f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"
    return socket.gethostname()


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name)[:40]
