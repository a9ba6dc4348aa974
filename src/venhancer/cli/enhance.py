"""`venhancer enhance`: its flags, and one call of the library for a file or for a folder of them."""

import argparse
import os
import signal
from pathlib import Path

from venhancer.cli.flags import add_settings, read_settings
from venhancer.cli.queue import STOPPING, run_queue
from venhancer.cli.terminal import Terminal
from venhancer.errors import InputError, JobFailed, SettingsError
from venhancer.jobs.stopping import stop_requests

SOURCES = "A video or picture, numbered pictures as frames/%%04d.png, or a folder of videos."  # %% is one, to argparse


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add what `venhancer enhance` takes."""
    parser.add_argument("source", metavar="SOURCE", type=Path, help=SOURCES)
    parser.add_argument("target", metavar="TARGET", type=Path, help="File to write, or folder.")
    add_settings(parser)
    parser.add_argument("--overwrite", action="store_true", help="Replace the target if it is there.")
    parser.add_argument("--restart", action="store_true", help="Discard unfinished work instead of going on with it.")
    parser.add_argument("--dry-run", action="store_true", help="Check everything, show the plan and stop.")
    parser.add_argument("--json", metavar="FILE", type=Path, help="Also write a report: plan, time, versions.")
    add_device_flags(parser)
    parser.add_argument("--quiet", action="store_true", help="Show errors only.")


def add_device_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say what the networks run on."""
    parser.add_argument("--device", metavar="NAME", default="auto", help="auto, cpu, cuda, cuda:1, mps; default auto.")
    parser.add_argument("--dtype", metavar="NAME", default="auto", help="auto, bf16, fp16, fp32; default auto.")


def run(arguments: argparse.Namespace) -> None:
    """Enhance a file, and show the plan, what gets lost, how far it is and what was written.

    Raises:
        SettingsError: something asked for cannot be had.
        InputError: the source, the target or the report cannot be used.
        WeightsError: the model is not there.
        JobFailed: something could not be written; finished segments are kept.
        Stopped: Ctrl-C or SIGTERM; likewise.
    """
    from venhancer.enhance import enhance_as_planned, plan_video
    from venhancer.jobs.outcome import losses, track_rows
    from venhancer.jobs.work import is_finished
    from venhancer.media.source import failures_as
    from venhancer.media.writing.writer import check_target
    from venhancer.planning.layout import format_number
    from venhancer.planning.machine import find_machine
    from venhancer.reports.plan_rows import describe_plan

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends it waits for seconds, not for a segment
    source, target, restart = arguments.source, arguments.target, arguments.restart
    with failures_as(InputError, f"{source} cannot be read; check the path"):
        is_folder = source.is_dir()
    if is_folder:
        run_queue(arguments)
        return
    settings = read_settings(arguments)
    check_target(target, source, overwrite=arguments.overwrite or is_finished(target), codec=settings.codec)
    if arguments.json is not None:
        _check_report(arguments)
    machine = find_machine(arguments.device, arguments.dtype)
    terminal = Terminal(quiet=arguments.quiet)
    with terminal.progress() as progress:
        plan = plan_video(source, settings, target, restart=restart, machine=machine, progress=progress)

    if terminal.is_watched or arguments.dry_run:
        rows = [row for row in describe_plan(plan) if row[0] != "not kept"]
        terminal.show_rows([*rows, *track_rows(plan, target)])
    if lost := losses(plan, target):
        terminal.warn(f"the output will not keep: {', '.join(lost)}")
    if (kept := None if restart else unfinished(target)) is not None:
        terminal.warn(kept)
    if arguments.dry_run:
        return

    with terminal.busy(f"loading {settings.model}"):
        from venhancer.weights import load_pipeline

        pipeline = load_pipeline(settings.model, device=arguments.device, dtype=arguments.dtype)
    with terminal.progress() as progress, stop_requests(lambda _: terminal.warn(STOPPING), (signal.SIGINT,)) as asked:
        report = enhance_as_planned(
            plan,
            target,
            pipeline,
            overwrite=arguments.overwrite,
            restart=restart,
            stop=lambda: asked.was_made,
            tell=terminal.warn,
            progress=progress,
        )
    if arguments.json is not None:
        with failures_as(JobFailed, f"{target} is written, but {arguments.json} is not; make room"):
            report.save(arguments.json)
    extent = f"{plan.width}x{plan.height}, {format_number(plan.rate)} fps, {plan.frames} frames"
    with failures_as(JobFailed, f"{target} is written, but standard output takes no more; make room"):
        terminal.show_line(f"wrote {target} ({extent}) in {report.seconds:.1f} s")


def unfinished(target: Path) -> str | None:
    """Return what is finished of a target and will be gone on with, in words; None if there is nothing."""
    from venhancer.jobs.work import find_work, work_folder

    work = find_work(target)
    if work is None or not work.parts:
        return None
    return f"going on: {work.finished_frames} of {work.frames} frames are finished in {work_folder(target)}"


def _check_report(arguments: argparse.Namespace) -> None:
    """Raise if the report cannot or must not be written, before any work is done."""
    report = arguments.json
    if arguments.dry_run:
        raise SettingsError("--dry-run writes no report; leave --json out, or use `venhancer plan --json`")
    if not os.access(report.parent, os.W_OK) or report.is_dir() or not report.parent.is_dir():
        raise InputError(f"--json {report} cannot be written; name a file in a folder that is there")
    if report.resolve() in (arguments.target.resolve(), arguments.source.resolve()):
        raise InputError(f"--json {report} is the source or the target; choose another name")
    if report.exists() and not arguments.overwrite:
        raise InputError(f"--json {report} exists; pass --overwrite or choose another name")
