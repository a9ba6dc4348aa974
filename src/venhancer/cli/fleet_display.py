"""The display of `venhancer fleet run`: one bar on a terminal, and in a pipe a line for each clip."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from venhancer.cli.terminal import SPEED_OVER, Bar, Terminal
from venhancer.errors import JobFailed

if TYPE_CHECKING:
    from venhancer.fleet.items import Item
    from venhancer.fleet.ledger import State

ENDED = ("done", "failed", "quarantined", "skipped")


class FleetBar(Bar):
    """One bar with clips, frames a second, time left and failures; a `venhancer.fleet.run.Watcher` in its block.

    Args:
        terminal: where.
    """

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self.is_live = terminal.errors.is_terminal and not terminal.is_quiet
        bar = Progress(
            TextColumn("clips"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]:.1f} frames/s"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[failures]} failed"),
            console=terminal.errors,
            disable=not self.is_live,
            speed_estimate_period=SPEED_OVER,
        )
        super().__init__(bar)
        self.task = self.bar.add_task("clips", total=None, speed=0.0, failures=0)
        self._began, self._frames, self._failures = time.monotonic(), 0, 0

    def begin(self, states: "Mapping[str, State]") -> None:
        """Record the states of all items."""
        done = sum(state in ("done", "quarantined", "skipped") for state in states.values())
        self.bar.update(self.task, total=len(states), completed=done)
        self._began = time.monotonic()

    def tell(self, item: "Item", state: "State", reason: str, facts: Mapping[str, Any]) -> None:
        """Record the outcome of an item, or that its work begins."""
        if state not in ENDED:
            return
        self._frames += facts.get("frames") or 0
        self._failures += state in ("failed", "quarantined")
        speed = self._frames / max(time.monotonic() - self._began, 0.1)
        if not (state == "skipped" and item.skipped):
            self.bar.update(self.task, advance=1, speed=speed, failures=self._failures)
        if self.is_live and state in ("done", "skipped"):
            return
        show = self.terminal.warn if state in ("failed", "quarantined") else self.terminal.show_line
        with suppress(OSError):  # a full log must not end the run, whose ledger has it all
            show(f"{item.id}: {state}{describe_end(state, reason, facts)}")

    def progress(self, item: "Item", values: Mapping[str, Any]) -> None:
        """Ignore progress on an item; the bar counts clips."""


def show_end(terminal: Terminal, states: Sequence[str], out: str) -> None:
    """Show how many items are in each state.

    Raises:
        JobFailed: one failed.
    """
    shown = [state for state in ("done", "running", "failed", "quarantined", "skipped") if state in states]
    counts = ", ".join(f"{states.count(state)} {state}" for state in shown)
    if {"failed", "quarantined"} & set(states):
        why = f"`venhancer fleet status {out}` gives the reasons"
        raise JobFailed(f"{counts}; {why}; run the same command again to retry")
    terminal.show_line(f"{counts}; see {out}")


def describe_end(state: str, reason: str, facts: Mapping[str, Any]) -> str:
    """Return what follows an item's state in its line."""
    note = f": {reason}" if reason else ""
    if state == "done":
        seconds = facts.get("seconds")
        note = f" in {seconds:.1f} s" if seconds is not None else " by an earlier run"
    for name in ("not_kept", "notes"):
        if facts.get(name):
            note += f"; {name.replace('_', ' ')}: {', '.join(facts[name])}"
    return note
