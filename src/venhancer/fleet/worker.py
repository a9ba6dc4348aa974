"""What a worker does with an order, whatever engine it works for: source in, output and record out, nothing by halves.

The work is done in scratch, by the job that `venhancer enhance` does: a worker that is killed leaves finished segments
there, and any worker with the same scratch resumes from them. An order without an output brings facts alone, which the
run's ledger keeps.
"""

import errno
import logging
import shutil
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, runtime_checkable

from venhancer.durable import sha256_of
from venhancer.errors import InputError, SettingsError, Stopped, VEnhancerError, WeightsError
from venhancer.fleet.items import Message, Order, Outcome
from venhancer.fleet.records import Made, announce, bare_facts, facts_of, finish_off, publish_record, record_of
from venhancer.fleet.shares import (
    SHARES,
    Division,
    bring_share,
    find_all,
    find_division,
    has_share,
    made_of,
    note_division,
    share_of,
)
from venhancer.fleet.stores import OWN, Store, StoreFailed, open_file_at
from venhancer.progress import Progress

logger = logging.getLogger(__name__)

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
SCRATCH = f"{OWN}/scratch"
CRAFT = "venhancer.fleet.enhancing:load_enhancing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup(Message):
    """What a worker must know before its first order.

    Args:
        out: address of the folder of outputs.
        scratch: folder for unfinished work; None keeps it in the folder of outputs, which must then be local.
        device: that the networks run on, as `venhancer enhance --device` takes it.
        craft: what does orders, as "module:name".
        options: what the craft must know beside, as values of JSON; see there.
    """

    out: str
    scratch: str | None
    device: str = "auto"
    craft: str = CRAFT
    options: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Craft(Protocol):
    """What does orders; one is loaded for each worker, and does one order after the other."""

    @property
    def weights(self) -> object:
        """Of the record: see `describe_weights`."""
        ...

    def refuse(self, source: Path) -> str:
        """Return why a file is no clip; empty if it is one."""
        ...

    def make(
        self,
        source: Path,
        target: Path,
        order: Order,
        *,
        stop: Callable[[], bool],
        progress: Progress,
    ) -> Made:
        """Make the target of the source, resuming unfinished work; of an order without an output, facts are all."""
        ...


@runtime_checkable
class DividingCraft(Craft, Protocol):
    """A craft that several workers can do one order with."""

    def divide(self, source: Path, target: Path, order: Order, *, progress: Progress) -> Division | None:
        """Return how the source is divided into shares; None if it is made whole."""
        ...

    def make_share(
        self, source: Path, target: Path, order: Order, *, stop: Callable[[], bool], progress: Progress
    ) -> tuple[list[Path], Made]:
        """Make the segments of a share, and return their files."""
        ...

    def join(self, source: Path, target: Path, order: Order, segments: Sequence[Path]) -> None:
        """Put the segments of all shares together to the target."""
        ...


class Worker:
    """Does orders.

    Args:
        setup: see there.
        craft: what does them.
        stop: called after each segment; True stops there.
        progress: advanced by every evaluation of the networks.
        tell_waiting: called every second while a store refuses, which is no reason to take the worker for hanging.
    """

    def __init__(
        self,
        setup: Setup,
        craft: Craft,
        *,
        stop: Callable[[], bool] = lambda: False,
        progress: Progress,
        tell_waiting: Callable[[], None] = lambda: None,
    ) -> None:
        self.out = Store(setup.out, tell_waiting=tell_waiting)
        self.tell_waiting = tell_waiting
        self.scratch = self.out.local(SCRATCH) if setup.scratch is None else Path(setup.scratch)
        self.craft, self.stop, self.progress = craft, stop, progress

    def do(self, order: Order) -> Outcome:
        """Do an order and return its outcome, failures included."""
        try:
            return self._do(order)
        except Stopped as stopped:
            if not self.stop():
                raise
            return Outcome(key=order.key, end="returned", log=str(stopped))
        except StoreFailed as error:
            return Outcome(key=order.key, end="returned", reason=str(error))
        except Exception as error:  # the one place where whatever a clip does to the program is caught
            reason = str(error) if isinstance(error, VEnhancerError) else _one_line(error)
            if _is_no_room(error):
                return Outcome(key=order.key, end="returned", reason=f"no room in {self.scratch}: {reason}")
            if isinstance(error, WeightsError):
                return Outcome(key=order.key, end="unfit", reason=reason)
            if not any((self.scratch / order.key).rglob("segment_*")):
                shutil.rmtree(self.scratch / order.key, ignore_errors=True)
            return Outcome(key=order.key, end="failed", reason=reason, log=traceback.format_exc())

    def _do(self, order: Order) -> Outcome:
        whole = order if order.share is None else replace(order, key=share_of(order)["key"])
        done = finish_off(self.out, whole) if order.output else None
        if done is not None:
            return Outcome(key=order.key, end="done", facts=facts_of(done))
        folder = self.scratch / order.key
        if order.restart:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        source = self._bring(order, folder)
        if order.may_be_no_clip and (reason := self.craft.refuse(source)):
            shutil.rmtree(folder, ignore_errors=True)
            return Outcome(key=order.key, end="skipped", reason=reason)
        if order.output and not order.overwrite and self.out.find(order.output) is not None:
            shutil.rmtree(folder, ignore_errors=True)
            raise InputError(f"{self.out.describe(order.output)} exists; pass --overwrite or choose another folder")
        target = folder / PurePosixPath(order.output).name
        if order.share is not None:
            return self._do_share(order, source, target)
        if order.share_frames and (division := self._divide(order, source, target)) is not None:
            shutil.rmtree(folder, ignore_errors=True)
            return Outcome(key=order.key, end="divided", facts=division.to_json())
        made = self.craft.make(source, target, order, stop=self.stop, progress=self.progress)
        facts = self._publish(order, made, source, target) if order.output else bare_facts(made)
        shutil.rmtree(folder, ignore_errors=True)
        return Outcome(key=order.key, end="done", facts=facts)

    def _divide(self, order: Order, source: Path, target: Path) -> Division | None:
        if not isinstance(self.craft, DividingCraft):
            return None
        division = find_division(self.out, order.key)
        if division is None:
            division = self.craft.divide(source, target, order, progress=self.progress)
            if division is not None:
                note_division(self.out, order.key, division)
        return division

    def _do_share(self, order: Order, source: Path, target: Path) -> Outcome:
        """Make a share, and put all together if it was the last."""
        folder = target.parent
        assert isinstance(self.craft, DividingCraft)
        if not has_share(self.out, order):
            files, made = self.craft.make_share(source, target, order, stop=self.stop, progress=self.progress)
            bring_share(self.out, order, files, made)
        notes = find_all(self.out, order)
        if notes is None:
            shutil.rmtree(folder, ignore_errors=True)
            return Outcome(key=order.key, end="done")
        whole = replace(order, key=share_of(order)["key"], share=None)
        try:
            segments = [self._fetch(name, folder) for note in notes for name in note["files"]]
        except FileNotFoundError:  # another was as late, and has put them together already
            done = finish_off(self.out, whole)
            if done is None:
                raise
            return Outcome(key=order.key, end="done", facts=facts_of(done))
        self.craft.join(source, target, order, segments)
        facts = self._publish(whole, made_of(notes), source, target)
        self.out.remove(f"{SHARES}/{whole.key}")
        shutil.rmtree(folder, ignore_errors=True)
        return Outcome(key=order.key, end="done", facts=facts)

    def _fetch(self, name: str, folder: Path) -> Path:
        if self.out.is_local:
            path = self.out.local(name)
            path.stat()
            return path
        place = folder / "shares" / PurePosixPath(name).name
        place.parent.mkdir(exist_ok=True)
        self.out.fetch(name, place)
        return place

    def _publish(self, order: Order, made: Made, source: Path, target: Path) -> dict[str, Any]:
        """Bring output and record into place, and return what ledgers keep of it."""
        record = record_of(
            order,
            made,
            self.craft.weights,
            source="" if "%" in source.name else sha256_of(source),
            output=sha256_of(target),
            size=target.stat().st_size,
        )
        announce(self.out, record)
        self.out.put(target, order.output)
        publish_record(self.out, record, order.output)
        return facts_of(record)

    def _bring(self, order: Order, folder: Path) -> Path:
        """Return the source on this machine: where it is, or a copy in scratch that an earlier try may have made."""
        store, name = open_file_at(order.source, tell_waiting=self.tell_waiting)
        if store.is_local:
            return Path(store.describe(name))
        copy = folder / "in" / name
        if not copy.exists():
            copy.parent.mkdir(exist_ok=True)
            try:
                store.fetch(name, copy)
            except FileNotFoundError as error:
                raise InputError(f"{order.source} is not there any more") from error
        return copy


def check_scratch(setup: Setup) -> None:
    """Raise unless there is a place for unfinished work.

    Raises:
        SettingsError: outputs go to a store, and no folder here was named.
    """
    if setup.scratch is None and not Store(setup.out).is_local:
        raise SettingsError(f"{setup.out} is not a local folder; pass --scratch FOLDER for unfinished work")


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _is_no_room(error: BaseException | None) -> bool:
    """Tell whether a full disk is behind an error."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            return True
        error = error.__cause__ or error.__context__
    return False
