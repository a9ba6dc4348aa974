"""`venhancer enhance FOLDER OUT`: one call of the queue, shown as a table, or in a pipe as a line for each file."""

import argparse
import signal
from collections import Counter
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from venhancer.cli.flags import read_settings
from venhancer.cli.terminal import ProgressBar, Terminal, printable
from venhancer.errors import JobFailed, SettingsError
from venhancer.jobs.stopping import stop_requests

if TYPE_CHECKING:
    from collections.abc import Sequence

    from venhancer.pipeline import VEnhancerPipeline
    from venhancer.queue.record import Entry

STOPPING = (
    "finishing this segment before stopping, which can take minutes; press Ctrl-C again to stop at once and keep the "
    "segments finished so far"
)
COLOURS = {"working": "cyan", "finished": "green", "failed": "red", "skipped": "dim", "waiting": "dim"}
ROOM = 8
"""Lines of the terminal left to the bar and to messages beside the table."""


def run_queue(arguments: argparse.Namespace) -> None:
    """Enhance a folder of files, and show the outcome of each.

    Raises:
        SettingsError: a request is impossible.
        InputError: one of the folders cannot be used.
        WeightsError: the model does not exist.
        JobFailed: a file failed, or something could not be written.
        Stopped: Ctrl-C or SIGTERM; the same command resumes.
    """
    from venhancer.model_files.folders import find_model
    from venhancer.model_files.traits import load_traits
    from venhancer.queue.queue import enhance_folder, list_items
    from venhancer.queue.record import RECORD

    folder, out = arguments.source, arguments.target
    settings, terminal = read_settings(arguments), Terminal(quiet=arguments.quiet)
    if arguments.json is not None:
        raise SettingsError(f"--json works for one file only; for a folder, see {out / RECORD}")
    load_traits(settings.model)
    find_model(settings.model)
    items = list_items(folder, out, settings)
    if arguments.dry_run:
        for item in items:
            terminal.show_line(f"{item.name}: {item.target or f'skipped: {item.reason}'}")
        return

    def load() -> "VEnhancerPipeline":
        from venhancer.weights import load_pipeline

        return load_pipeline(settings.model, device=arguments.device, dtype=arguments.dtype)

    with (
        QueueTable(terminal, [item.name for item in items]) as table,
        stop_requests(lambda _: terminal.warn(STOPPING), (signal.SIGINT,)) as request,
    ):
        record = enhance_folder(
            folder,
            out,
            settings,
            load,
            table,
            overwrite=arguments.overwrite,
            restart=arguments.restart,
            stop=lambda: request.was_made,
        )
    states = [record.files[item.name].state for item in items]
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("finished", "failed", "skipped"))
    if "failed" in states:
        raise JobFailed(f"{counts}; see {out / RECORD} for the reasons, and run the same command again to retry")
    terminal.show_line(f"{counts}; see {out / RECORD}")


class QueueTable:
    """The outcomes of a queue's files, shown within its `with` block.

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
        """Record the outcome of a file, or that its work begins."""
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
