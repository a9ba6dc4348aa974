"""What the command line shows: rows, lines and a progress bar, fitted to a terminal or plain for a pipe."""

import json
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from io import TextIOWrapper
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

LABEL_WIDTH = 18
SPEED_OVER = 3600.0
"""Seconds of work that the time left is estimated from; a step of a large model takes minutes."""


class Terminal:
    """Where output goes: results to standard output, everything about the work to standard error.

    Args:
        quiet: show nothing at all.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # a name it cannot show must not end hours of work
        self.output = Console(quiet=quiet, highlight=False)
        self.errors = Console(quiet=quiet, highlight=False, stderr=True)
        self.is_quiet = quiet

    @property
    def is_watched(self) -> bool:
        """Whether a user watches the terminal, who gets more than the results."""
        return self.output.is_terminal and not self.is_quiet

    def show_rows(self, rows: Iterable[tuple[str, str]]) -> None:
        """Show labels and values: a table on a terminal, one line each in a pipe."""
        if not self.is_watched:
            for label, value in rows:
                self.show_line(f"{label:<{LABEL_WIDTH}}  {value}")
            return
        table = Table.grid(padding=(0, 2))
        table.add_column(style="cyan", no_wrap=True)
        table.add_column(overflow="fold")
        for label, value in rows:
            table.add_row(label, Text(printable(value)))
        self.output.print(table)

    def show_line(self, line: str) -> None:
        """Show one line, however long."""
        self.output.out(printable(line))

    def show_json(self, content: Mapping[str, object]) -> None:
        """Show JSON values."""
        self.output.out(json.dumps(content, indent=2))

    def warn(self, line: str) -> None:
        """Show a line beside the results; a failure to show it does not end the work."""
        with suppress(OSError):
            self.errors.out(f"venhancer: {printable(line)}")

    @contextmanager
    def busy(self, what: str) -> Iterator[None]:
        """Show that work of unknown length is running."""
        with self.errors.status(what) if self.errors.is_terminal else nullcontext():
            yield

    def progress(self) -> "ProgressBar":
        """Return a bar with the time left; it is hidden without a terminal."""
        return ProgressBar(self.errors, is_hidden=not self.errors.is_terminal)

    def show_log(self) -> None:
        """Show what the library logs, a line each."""
        handler = _Log(sys.stdout)
        logger = logging.getLogger("venhancer")
        logger.addHandler(handler)
        logger.setLevel(logging.WARNING if self.is_quiet else logging.INFO)


class _Log(logging.StreamHandler):
    """A log that may be full: a failure to write does not end the work."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is that of `logging`
        """Skip a line."""


class Bar:
    """What is drawn below all lines for as long as its `with` block lasts.

    Args:
        bar: what to draw.
    """

    def __init__(self, bar: Progress) -> None:
        self.bar = bar

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()


class ProgressBar(Bar):
    """A bar for each stage of the work; a `venhancer.progress.Progress` within its `with` block."""

    def __init__(self, console: Console, *, is_hidden: bool) -> None:
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=is_hidden,
            speed_estimate_period=SPEED_OVER,
        )
        super().__init__(bar)

    def start(self, total: int, what: str) -> None:
        """Begin a stage of `total` steps, below the earlier ones."""
        self.task = self.bar.add_task(what, total=total)

    def advance(self) -> None:
        """Mark one step of the current stage as done."""
        self.bar.advance(self.task)


def printable(text: str) -> str:
    """Return text with every character that would break a line or steer a terminal written as its escape."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
