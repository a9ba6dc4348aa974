"""`venhancer enhance FOLDER OUT`: a fleet of one worker in this process, shown as a table, or in a pipe as lines."""

import argparse
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from venhancer.cli.flags import read_settings
from venhancer.cli.fleet_display import ENDED, describe_end, show_end
from venhancer.cli.terminal import ProgressBar, Terminal, printable
from venhancer.errors import InputError, SettingsError
from venhancer.jobs.stopping import stop_requests

if TYPE_CHECKING:
    from venhancer.fleet.in_process import InProcessEngine
    from venhancer.fleet.items import Item
    from venhancer.fleet.ledger import State

STOPPING = (
    "finishing this segment before stopping, which can take minutes; press Ctrl-C again to stop at once and keep the "
    "segments finished so far"
)
COLOURS = {
    "running": "cyan",
    "done": "green",
    "failed": "red",
    "quarantined": "red",
    "skipped": "dim",
    "waiting": "dim",
}
ROOM = 8
"""Lines of the terminal left to the bar and to messages beside the table."""


def run_folder(arguments: argparse.Namespace) -> None:
    """Enhance a folder of files, and show the outcome of each.

    Raises:
        SettingsError: a request is impossible.
        InputError: one of the folders cannot be used.
        WeightsError: the model does not exist.
        JobFailed: a file failed, or something could not be written.
        Stopped: Ctrl-C or SIGTERM; the same command resumes.
    """
    from venhancer.fleet.enhancing import load_enhancing
    from venhancer.fleet.fleet import open_fleet
    from venhancer.fleet.in_process import InProcessEngine
    from venhancer.fleet.manifest import read_manifest
    from venhancer.fleet.run import Policy
    from venhancer.fleet.worker import Setup
    from venhancer.model_files.adapter import CARRIED
    from venhancer.model_files.traits import load_traits

    folder, out = str(arguments.source), str(arguments.target)
    settings, terminal = read_settings(arguments), Terminal(quiet=arguments.quiet)
    if arguments.json is not None:
        raise SettingsError(
            "--json works for one file only; for a folder, see OUTPUT.venhancer.json beside each output"
        )
    if arguments.key_frames:
        raise SettingsError("--key-frame works for one file only")
    if arguments.adapter is not None:
        raise SettingsError(
            f"--adapter works for one file only; copy {arguments.adapter} into a model folder as {CARRIED}"
        )
    if arguments.adapter_apart:
        raise SettingsError("--adapter-apart works for one file only; omit it, or enhance the files one by one")
    if arguments.decoder is not None:
        raise SettingsError("--decoder works for one file only; omit it, or enhance the files one by one")
    if arguments.devices:
        raise SettingsError("--devices share one video; for a folder, run `venhancer fleet run`, a clip a device")
    load_traits(settings.model)
    if not arguments.target.absolute().parent.is_dir():
        raise InputError(f"{out} cannot be created; create its parent folder first")
    if arguments.dry_run:
        manifest = read_manifest(folder, out, settings)
        for item in manifest.items:
            to = f"skipped: {item.skipped}" if item.skipped else manifest.out.describe(item.output)
            terminal.show_line(f"{item.id}: {to}")
        return
    fleet = open_fleet(folder, out, settings, overwrite=arguments.overwrite, keep_order=True)
    options = {"model": settings.model, "weights": fleet.weights, "dtype": arguments.dtype}
    setup = Setup(out=fleet.out.address, scratch=None, device=arguments.device, options=options)
    with (
        FolderTable(terminal, [item.id for item in fleet.items]) as table,
        stop_requests(lambda _: terminal.warn(STOPPING), (signal.SIGINT,)) as request,
    ):

        def engine() -> "InProcessEngine":
            return InProcessEngine(
                setup, lambda: load_enhancing(setup), stop=lambda: request.was_made, progress=table.steps
            )

        policy = Policy(tries=None, tries_a_run=1, overwrite=arguments.overwrite, restart=arguments.restart)
        states = fleet.run(engine, policy=policy, watcher=table, stop=lambda: request.was_made)
    show_end(terminal, list(states.values()), fleet.out.describe())


class FolderTable:
    """The outcomes of a folder's files; a `venhancer.fleet.run.Watcher` within its `with` block.

    Args:
        terminal: where.
        names: of all files, in order.
    """

    def __init__(self, terminal: Terminal, names: Sequence[str]) -> None:
        self.terminal = terminal
        self.states: dict[str, tuple[str, str]] = dict.fromkeys(names, ("waiting", ""))
        self.steps = ProgressBar(terminal.errors, is_hidden=True)  # drawn below the table, not by itself
        self._newest = 0
        self._live = Live(console=terminal.errors, get_renderable=self._draw, refresh_per_second=4)
        self._is_live = terminal.errors.is_terminal and not terminal.is_quiet

    def begin(self, states: "Mapping[str, State]") -> None:
        """Record the states of all files."""
        for name, state in states.items():
            if state in ENDED and self.states[name][0] == "waiting":
                self._show(name, state, "" if state != "done" else " by an earlier run")

    def tell(self, item: "Item", state: "State", reason: str, facts: Mapping[str, Any]) -> None:
        """Record the outcome of a file, or that its work begins."""
        self._newest = list(self.states).index(item.id)
        for task in self.steps.bar.task_ids:
            self.steps.bar.remove_task(task)
        self._show(item.id, state, describe_end(state, reason, facts))

    def progress(self, item: "Item", values: Mapping[str, Any]) -> None:
        """Ignore progress on a file; the worker updates the bar itself."""

    def _show(self, name: str, state: str, note: str) -> None:
        self.states[name] = (state, note.lstrip(": "))
        if not self._is_live and state in ENDED:
            show = self.terminal.warn if state == "failed" else self.terminal.show_line
            with suppress(OSError):  # a full log must not end the run, whose ledger has it all
                show(f"{name}: {state}{note}")

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
        return Group(table, Text(total, style="bold"), self.steps.bar)
