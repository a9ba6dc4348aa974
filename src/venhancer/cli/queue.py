"""`venhancer enhance FOLDER OUT`: one call of the queue, and a few lines of what became of it."""

import argparse
import signal
from typing import TYPE_CHECKING

from venhancer.cli.flags import read_settings
from venhancer.cli.queue_table import QueueTable
from venhancer.cli.terminal import Terminal
from venhancer.errors import JobFailed, SettingsError
from venhancer.jobs.stopping import stop_requests

if TYPE_CHECKING:
    from venhancer.pipeline import VEnhancerPipeline

STOPPING = (
    "stopping once this segment is finished, which can take minutes; Ctrl-C again stops at once, and all segments "
    "finished before are kept"
)


def run_queue(arguments: argparse.Namespace) -> None:
    """Enhance a folder of files, and show what becomes of each.

    Raises:
        SettingsError: something asked for cannot be had.
        InputError: one of the folders cannot be used.
        WeightsError: the model is not there.
        JobFailed: a file failed, or something could not be written.
        Stopped: Ctrl-C or SIGTERM; the same command goes on.
    """
    from venhancer.model_files.folders import find_model
    from venhancer.model_files.traits import load_traits
    from venhancer.queue.queue import enhance_folder, list_items
    from venhancer.queue.record import RECORD

    folder, out = arguments.source, arguments.target
    settings, terminal = read_settings(arguments), Terminal(quiet=arguments.quiet)
    if arguments.json is not None:
        raise SettingsError(f"--json is for one file; {out / RECORD} tells of all files of a folder")
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
        stop_requests(lambda _: terminal.warn(STOPPING), (signal.SIGINT,)) as asked,
    ):
        record = enhance_folder(
            folder,
            out,
            settings,
            load,
            table,
            overwrite=arguments.overwrite,
            restart=arguments.restart,
            stop=lambda: asked.was_made,
        )
    became = [record.files[item.name].state for item in items]
    said = ", ".join(f"{became.count(state)} {state}" for state in ("finished", "failed", "skipped"))
    if "failed" in became:
        raise JobFailed(f"{said}; {out / RECORD} says why, and the same command tries what failed again")
    terminal.show_line(f"{said}; see {out / RECORD}")
