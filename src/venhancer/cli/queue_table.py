"""A queue of files as it goes on: a table with a bar on a terminal, a line a file in a pipe."""

from collections import Counter
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from venhancer.cli.terminal import ProgressBar, Terminal, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from venhancer.queue.record import Entry

COLOURS = {"working": "cyan", "finished": "green", "failed": "red", "skipped": "dim", "waiting": "dim"}
ROOM = 8
"""Lines of the terminal that are left to the bar and to what is said beside the table."""


class QueueTable:
    """What becomes of the files of a queue, shown within its `with` block.

    Args:
        terminal: where.
        names: of all files, in order.
    """

    def __init__(self, terminal: Terminal, names: "Sequence[str]") -> None:
        self.terminal = terminal
        self.states: dict[str, tuple[str, str]] = dict.fromkeys(names, ("waiting", ""))
        self.progress = ProgressBar(terminal.errors, is_hidden=True)  # drawn below the table, not by itself
        self._newest = 0
        self._live = Live(console=terminal.errors, get_renderable=self._draw, refresh_per_second=4)
        self._is_live = terminal.errors.is_terminal and not terminal.is_quiet

    def tell(self, name: str, entry: "Entry") -> None:
        """Take in what became of a file, or that it is begun with."""
        note = entry.reason
        if entry.state == "finished":
            note = f"in {entry.seconds:.1f} s" if entry.seconds is not None else "by an earlier run"
        if entry.not_kept:
            note += f"; not kept: {', '.join(entry.not_kept)}"
        self.states[name] = (entry.state, note)
        self._newest = list(self.states).index(name)
        for task in self.progress.bar.task_ids:
            self.progress.bar.remove_task(task)
        if not self._is_live and entry.state != "working":
            show = self.terminal.warn if entry.state == "failed" else self.terminal.show_line
            with suppress(OSError):  # a full log must not end the queue, whose record has it all
                show(f"{name}: {entry.state}{': ' if entry.reason else ' '}{note}")

    def __enter__(self) -> Self:
        if self._is_live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_live:
            self._live.stop()

    def _draw(self) -> Group:
        rows = list(self.states.items())
        most = max(3, self.terminal.errors.height - ROOM)
        first = max(0, min(self._newest - most // 2, len(rows) - most))
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        for name, (state, note) in rows[first : first + most]:
            table.add_row(
                Text(printable(name), overflow="ellipsis", no_wrap=True),
                Text(state, style=COLOURS[state]),
                Text(printable(note), overflow="ellipsis", no_wrap=True),
            )
        counts = Counter(state for state, _ in self.states.values())
        total = ", ".join(f"{counts[state]} {state}" for state in COLOURS if counts[state])
        return Group(table, Text(total, style="bold"), self.progress.bar)
