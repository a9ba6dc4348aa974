"""`venhancer enhance`: its flags, and one call of the library for a file or for a folder of them."""

import argparse
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from venhancer.cli.flags import (
    add_command,
    add_device_flags,
    add_key_frames,
    add_own_weights,
    add_settings,
    read_key_frames,
    read_settings,
    read_traits,
)
from venhancer.cli.folder import STOPPING, run_folder
from venhancer.cli.terminal import Terminal
from venhancer.errors import InputError, JobFailed, SettingsError
from venhancer.jobs.stopping import stop_requests

if TYPE_CHECKING:
    from venhancer.workers.workers import Workers  # named, not loaded

SOURCES = (
    "A video, a picture, numbered pictures such as frames/%%04d.png, or a folder of videos."  # %% is one, to argparse
)


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = add_command(commands, "enhance", run, "SOURCE TARGET", "Enhance a video, or a folder of them.")
    parser.add_argument("source", metavar="SOURCE", type=Path, help=SOURCES)
    parser.add_argument("target", metavar="TARGET", type=Path, help="File or folder to write.")
    parser.add_argument("--overwrite", action="store_true", help="Replace the target if it exists.")
    parser.add_argument("--dry-run", action="store_true", help="Check everything and show the plan.")
    add_settings(parser)
    add_key_frames(parser)
    add_own_weights(parser)
    rest = parser.add_argument_group("run")
    rest.add_argument("--restart", action="store_true", help="Discard unfinished work instead of resuming it.")
    rest.add_argument("--json", metavar="FILE", type=Path, help="Also write a JSON report: plan, time, versions.")
    rest.add_argument("--quiet", action="store_true", help="Show errors only.")
    add_device_flags(parser, several=True)


def run(arguments: argparse.Namespace) -> None:
    """Enhance a file, and show the plan, what gets lost, how far it is and what was written.

    Raises:
        SettingsError: a request is impossible.
        InputError: the source, the target or the report cannot be used.
        WeightsError: the model does not exist.
        JobFailed: something could not be written; finished segments are kept.
        Stopped: Ctrl-C or SIGTERM; likewise.
    """
    from venhancer.enhance import enhance_as_planned, plan_video
    from venhancer.jobs.outcome import losses, track_rows
    from venhancer.jobs.report import check_report
    from venhancer.jobs.work import describe_work, is_finished
    from venhancer.media.source import failures_as
    from venhancer.media.writing.writer import check_target
    from venhancer.planning.layout import format_number
    from venhancer.planning.machine import find_machine, parse_devices
    from venhancer.reports.plan_rows import describe_plan
    from venhancer.runtime.heap import keep_freed_memory

    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # a system that ends it waits for seconds, not for a segment
    source, target, restart = arguments.source, arguments.target, arguments.restart
    with failures_as(InputError, f"{source} cannot be read; check the path"):
        is_folder = source.is_dir()
    if is_folder:
        run_folder(arguments)
        return
    settings = read_settings(arguments)
    check_target(target, source, overwrite=arguments.overwrite or is_finished(target), codec=settings.codec)
    if arguments.json is not None:
        if arguments.dry_run:
            raise SettingsError("--dry-run writes no report; omit --json, or run `venhancer plan --json`")
        check_report(arguments.json, source, target, overwrite=arguments.overwrite)
    devices = parse_devices(arguments.devices) if arguments.devices else ()
    how: dict[str, Any] = {
        "restart": restart,
        "key_frames": read_key_frames(arguments),
        "traits": read_traits(settings.model, arguments),
        "machine": find_machine(arguments.device, arguments.dtype, devices=devices),
    }
    terminal = Terminal(quiet=arguments.quiet)
    with terminal.progress() as progress:
        plan = plan_video(source, settings, target, **how, progress=progress)

    if terminal.is_watched or arguments.dry_run:
        rows = [row for row in describe_plan(plan) if row[0] != "not kept"]
        terminal.show_rows([*rows, *track_rows(plan, target)])
    if lost := losses(plan, target):
        terminal.warn(f"the output will lose: {', '.join(lost)}")
    if (progress_so_far := None if restart else describe_work(target)) is not None:
        terminal.warn(progress_so_far)
    if arguments.dry_run:
        return

    if plan.traits.keeps_freed_memory:
        keep_freed_memory()
    with terminal.busy(f"loading {settings.model}"):
        workers = _load(settings.model, arguments, devices or (arguments.device,))
    stopping = stop_requests(lambda _: terminal.warn(STOPPING), (signal.SIGINT,))
    with workers, terminal.progress() as progress, stopping as request:
        report = enhance_as_planned(
            plan,
            target,
            workers.pipeline,
            overwrite=arguments.overwrite,
            restart=restart,
            stop=lambda: request.was_made,
            tell=terminal.warn,
            progress=progress,
        )
    if arguments.json is not None:
        with failures_as(JobFailed, f"{target} is written, but {arguments.json} is not; free some space"):
            report.save(arguments.json)
    extent = f"{plan.width}x{plan.height}, {format_number(plan.rate)} fps, {plan.frames} frames"
    with failures_as(JobFailed, f"{target} is written, but standard output is full; free some space"):
        terminal.show_line(f"wrote {target} ({extent}) in {report.seconds:.1f} s{workers.describe()}")


def _load(model: str, arguments: argparse.Namespace, devices: Sequence[str]) -> "Workers":
    """Return the model on its devices.

    Raises:
        WeightsError: it is not there, or the adapter or the decoder does not fit it.
        SettingsError: a device is not there, or they are of several kinds.
        JobFailed: a worker cannot start.
    """
    from venhancer.weights import load_pipeline
    from venhancer.workers.workers import Workers

    how = {name: getattr(arguments, name) for name in ("adapter", "adapter_apart", "decoder", "dtype")}
    return Workers(load_pipeline(model, **how, device=devices[0]), devices[1:])
