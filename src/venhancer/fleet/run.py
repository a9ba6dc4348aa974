"""A run: gives out items that are waiting, notes what becomes of them, and leaves alone what others are at.

Nothing is kept but the ledger and what lies in the folder of outputs: a run that is killed leaves nothing else behind,
and the same call resumes. Any number of runs may work on one folder.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from venhancer.errors import JobFailed, Stopped
from venhancer.fleet.engine import Engine
from venhancer.fleet.films import Film
from venhancer.fleet.items import Item, Order, Outcome
from venhancer.fleet.ledger import INTERRUPTIONS_A_TRY, Event, Ledger, LedgerWriter, State
from venhancer.fleet.shares import SHARES
from venhancer.fleet.stores import OWN, PARTIAL, Store, StoreFailed
from venhancer.fleet.worker import SCRATCH

LOGS = f"{OWN}/logs"
WAIT = 0.5  # seconds that a run waits for its workers before it looks around again
LOOK_EVERY = 2.0  # seconds between two looks at the other runs' ledgers in a store that is far away
SETBACKS = 3  # a worker, one after the other, with nothing done between: a full disk, a store that is gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a run deals with what goes wrong.

    Args:
        tries: of an item before it is put aside; None never puts one aside.
        tries_a_run: of an item within a run.
        retry_quarantined: whether items that were put aside are tried anew.
        overwrite: replace outputs that are there from elsewhere.
        restart: discard unfinished work.
        share_frames: films are divided at cuts into shares of about so many output frames; 0 divides none.
    """

    tries: int | None = 2
    tries_a_run: int = 2
    retry_quarantined: bool = False
    overwrite: bool = False
    restart: bool = False
    share_frames: int = 0


@runtime_checkable
class Watcher(Protocol):
    """An observer of a run."""

    def begin(self, states: Mapping[str, State]) -> None:
        """Record the states of all items, by their ids."""
        ...

    def tell(self, item: Item, state: State, reason: str, facts: Mapping[str, Any]) -> None:
        """Record the outcome of an item, or that its work begins."""
        ...

    def progress(self, item: Item, values: Mapping[str, Any]) -> None:
        """Record progress on an item."""
        ...


class Run:
    """One run over items.

    Args:
        items: to be done, in the order they are given out.
        job: fingerprint of the job, see `claim_folder`.
        out: the folder of outputs.
        settings: gives all that is asked for an item, as values of JSON that its craft understands.
        policy: how to deal with what goes wrong.
        watcher: notified of each item.
        stop: called now and then; True stops the run.
    """

    def __init__(
        self,
        items: Sequence[Item],
        job: str,
        out: Store,
        *,
        settings: Callable[[Item], Mapping[str, Any]],
        policy: Policy,
        watcher: Watcher,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.items = {item.key(job): item for item in items}
        self.settings, self.out = settings, out
        self.policy, self.watcher, self.stop = policy, watcher, stop
        self.writer = LedgerWriter(out, items=len(items), job=job)
        self.ledger = Ledger(out, own=self.writer.name)
        self.waiting: deque[str] = deque()
        self.given_out: set[str] = set()
        self.films: dict[str, Film] = {}
        self.tried: dict[str, int] = {}
        self.setbacks = 0
        self._looked = 0.0

    def do(self, make_engine: Callable[[], Engine]) -> dict[str, State]:
        """Do all due items, and return the state of each by its id.

        Args:
            make_engine: gives the workers; called only if there is anything to do.

        Raises:
            JobFailed: no worker can do anything; what is done is done.
            Stopped: `stop` requested it; the same call resumes.
        """
        self.ledger.refresh()
        with self.writer:
            self._skip_and_release()
            self.waiting.extend(key for key in self.items if self._is_due(key))
            self.watcher.begin(self._states())
            if self.waiting:
                engine = make_engine()
                try:
                    self._go_on(engine)
                finally:
                    engine.close()
                    self._return_rest()
            self._clear_up()
        return self._states()

    def _skip_and_release(self) -> None:
        for key, item in self.items.items():
            if item.skipped and self.ledger.state(key) != "skipped":
                self._note("skipped", key, reason=item.skipped)
            if item.skipped:
                self.watcher.tell(item, "skipped", item.skipped, {})
            elif self.policy.retry_quarantined and self.ledger.state(key) == "quarantined":
                self._note("released", key)
        self.writer.flush()

    def _is_due(self, key: str) -> bool:
        return self.ledger.state(key) in ("waiting", "failed")

    def _states(self) -> dict[str, State]:
        return {item.id: self.ledger.state(key) for key, item in self.items.items()}

    def _go_on(self, engine: Engine) -> None:
        is_stopping = False
        while self.waiting or self.given_out:
            if not is_stopping and self.stop():
                is_stopping = True
                engine.stop()
            if is_stopping and not self.given_out:
                break
            while self.waiting and not is_stopping and engine.free > 0:
                self._give_out_next(engine)
            self.writer.flush()
            if not self.waiting:
                engine.rest()
            for report in engine.reports(WAIT) if self.given_out or self.waiting else ():
                if isinstance(report, Outcome):
                    self._take(report, engine)
                elif (key := report.get("order")) in self.items:
                    self.watcher.progress(self.items[key], report)
            self.writer.flush()
        if is_stopping and (self.waiting or self.stop()):
            done = sum(self.ledger.state(key) == "done" for key in self.items)
            raise Stopped(f"files finished: {done}; run the same command again to resume")

    def _give_out_next(self, engine: Engine) -> None:
        """Give out the next item, unless another run has begun it meanwhile."""
        key = self.waiting.popleft()
        if (film := self._film_of(key)) is not None:
            film.out.add(key)
            engine.give_out(self._order(film.key, key=key, share=film.shares[key]))
            return
        self._look()
        if not self._is_due(key):
            return
        self._note("running", key)
        if not self.writer.flush():
            pass  # a store that refuses: the claim is written later, and two outputs there cannot be anyway
        elif self._has_others():
            self.ledger.refresh()
            others = self.ledger.others(key, self.writer.name)
            mine = (self.ledger.standing(key).runs or {}).get(self.writer.name, 0.0)
            if others and others[0] < (mine, self.writer.name):
                self._note("returned", key)
                return
        self.watcher.tell(self.items[key], "running", "", {})
        self.given_out.add(key)
        share_frames = self.policy.share_frames if engine.workers > 1 else 0
        restart = self.policy.restart and key not in self.tried
        engine.give_out(self._order(key, restart=restart, share_frames=share_frames))
        self.tried[key] = self.tried.get(key, 0) + 1

    def _order(self, item_key: str, **more: object) -> Order:
        item = self.items[item_key]
        values: dict[str, Any] = {
            "key": item_key,
            "id": item.id,
            "source": item.source,
            "output": item.output,
            "settings": dict(self.settings(item)),
            "may_be_no_clip": item.may_be_no_clip,
            "overwrite": self.policy.overwrite,
            "tries": self.ledger.tries(item_key) + 1,
        }
        return Order(**{**values, **more})

    def _film_of(self, key: str) -> Film | None:
        """Return the film that a key is of a share of; None if it is that of an item."""
        return self.films.get(key.rpartition("-")[0])

    def _look(self) -> None:
        """Read the other runs' ledgers: always where that costs nothing or others are known, else not too often."""
        if time.monotonic() - self._looked >= (0 if self.out.is_local or self._has_others() else LOOK_EVERY):
            self._looked = time.monotonic()
            try:
                self.ledger.refresh()
            except StoreFailed:
                return

    def _has_others(self) -> bool:
        return any(name != self.writer.name and self.ledger.lives(name) for name in self.ledger.writers)

    def _take(self, outcome: Outcome, engine: Engine) -> None:
        """Note what became of an order."""
        key = outcome.key
        if (film := self._film_of(key)) is not None:
            self._take_share(film, outcome, engine)
            return
        item = self.items[key]
        if outcome.end == "divided":
            self.films[key] = Film.of(outcome)
            self.waiting.extendleft(reversed(self.films[key].waiting))
            return
        self.given_out.discard(key)
        if outcome.end in ("done", "skipped"):
            self.setbacks = 0
            self._note(outcome.end, key, **({"facts": dict(outcome.facts)} if outcome.facts else {}), **_why(outcome))
            self.watcher.tell(item, outcome.end, outcome.reason, outcome.facts)
        elif outcome.end == "failed":
            self.setbacks = 0
            self._fail(key, outcome.reason, outcome.log)
        elif outcome.end == "interrupted":
            self._note("interrupted", key, **_why(outcome))
            self._interrupted(key, outcome.reason)
        else:
            self._note("returned", key, **_why(outcome))
            self.tried[key] -= 1
            self.waiting.append(key)
            if outcome.reason:
                self._set_back(outcome, engine)

    def _take_share(self, film: Film, outcome: Outcome, engine: Engine) -> None:
        """Note what became of a share of a film; the last one to be made brings the whole."""
        key = film.key
        film.out.discard(outcome.key)
        if outcome.end == "done":
            film.left.discard(outcome.key)
            if not outcome.facts and not film.left:  # all are made, but whoever was last did not see that
                film.left.add(outcome.key)
                self.waiting.append(outcome.key)
        elif outcome.end == "interrupted":
            film.interruptions[outcome.key] += 1
            most = INTERRUPTIONS_A_TRY * (self.policy.tries or 1)
            if film.interruptions[outcome.key] >= most:
                film.failure = replace(outcome, end="failed", reason=f"{outcome.reason}, {most} times")
            self.waiting.appendleft(outcome.key)
        elif outcome.end == "failed":
            film.failure = outcome
        else:
            self.waiting.append(outcome.key)
        if film.failure is not None or outcome.facts:
            self.waiting = deque(each for each in self.waiting if each not in film.shares)
        is_whole = outcome.end == "done" and bool(outcome.facts)
        if is_whole or film.is_over or (self.stop() and not film.out):
            del self.films[key]
            end = outcome if is_whole else film.failure
            self._take(replace(end or Outcome(key=key, end="returned"), key=key), engine)
        elif outcome.end in ("returned", "unfit") and outcome.reason:
            self._set_back(outcome, engine)

    def _fail(self, key: str, reason: str, log: str) -> None:
        self._note("failed", key, reason=reason)
        state: State = "failed"
        if self.policy.tries is not None and self.ledger.tries(key) >= self.policy.tries:
            self._put_aside(key, reason, log)
            state = "quarantined"
        elif self.tried[key] < self.policy.tries_a_run:
            self.waiting.append(key)
            return
        self.watcher.tell(self.items[key], state, reason, {})

    def _interrupted(self, key: str, reason: str) -> None:
        """Go on with an item whose worker was killed, unless that has happened too often."""
        self.tried[key] -= 1
        if self.policy.tries is not None and self.ledger.tries(key) >= self.policy.tries:
            times = self.policy.tries * INTERRUPTIONS_A_TRY
            why = f"{reason}, {times} times; does it need more memory than there is?"
            self._put_aside(key, why, "")
            self.watcher.tell(self.items[key], "quarantined", why, {})
        else:
            self.waiting.appendleft(key)

    def _put_aside(self, key: str, reason: str, log: str) -> None:
        item = self.items[key]
        content = f"{item.id}\n{item.source}\n{reason}\n\n{log}"
        with suppress(StoreFailed):
            self.out.write(f"{LOGS}/{key}.log", content.encode())
        self._note("quarantined", key, reason=reason, log=f"{LOGS}/{key}.log")

    def _set_back(self, outcome: Outcome, engine: Engine) -> None:
        """Take in that a worker could do nothing; wait a little, and give up when that goes on.

        Raises:
            JobFailed: it goes on.
        """
        self.setbacks += 1
        if outcome.end == "unfit" or self.setbacks >= SETBACKS * max(1, engine.workers):
            raise JobFailed(f"{outcome.reason}; fix that, then run the same command again to resume")
        time.sleep(min(WAIT * self.setbacks, 5.0))

    def _note(self, event: Event, key: str, **more: object) -> None:
        self.ledger.take(self.writer.note(event, key, self.items[key].id, **more), self.writer.name)

    def _return_rest(self) -> None:
        """Say of what was given out, and did not come back, that nobody is at it."""
        for key in self.given_out:
            self._note("returned", key)
        self.writer.flush()

    def _clear_up(self) -> None:
        """Remove what killed runs left behind, if no other is at work and nothing is left to go on with."""
        if self._has_others() or any(self.ledger.state(key) in ("waiting", "running", "failed") for key in self.items):
            return
        for name in (PARTIAL, SCRATCH, SHARES):
            if not self.out.is_local or self.out.local(name).exists():
                self.out.remove(name)


def _why(outcome: Outcome) -> dict[str, str]:
    return {"reason": outcome.reason} if outcome.reason else {}
