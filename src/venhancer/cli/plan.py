"""`venhancer plan`: its flags, and what an enhancement would do."""

import argparse
from dataclasses import asdict
from pathlib import Path

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
from venhancer.cli.terminal import Terminal
from venhancer.planning.devices import DEVICES


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = add_command(
        commands, "plan", run, "SOURCE [TARGET]", "Show what enhance would do, without loading a model."
    )
    parser.add_argument(
        "source", metavar="SOURCE", type=Path, help="A video, a picture, or numbered pictures such as frames/%%04d.png."
    )
    parser.add_argument(
        "target",
        metavar="TARGET",
        nargs="?",
        type=Path,
        help="Also show what this file cannot keep and what is finished.",
    )
    parser.add_argument("--json", action="store_true", help="Print JSON.")
    parser.add_argument(
        "--on", metavar="NAME", choices=DEVICES, help=f"Predict seconds and memory on a device: {', '.join(DEVICES)}."
    )
    add_settings(parser)
    add_key_frames(parser)
    add_own_weights(parser)
    add_device_flags(parser, several=True)


def run(arguments: argparse.Namespace) -> None:
    """Show the plan.

    Raises:
        SettingsError: a request is impossible.
        InputError: the source cannot be used, or the work on the target is of something else.
        WeightsError: the model does not exist.
    """
    from venhancer.enhance import plan_video
    from venhancer.jobs.outcome import target_rows
    from venhancer.planning.machine import find_machine, named_machine, parse_devices
    from venhancer.planning.prediction import predict
    from venhancer.reports.plan_rows import describe_plan, describe_prediction

    target, terminal, device = arguments.target, Terminal(), DEVICES.get(arguments.on)
    devices = parse_devices(arguments.devices) if arguments.devices else ()
    if device is None:
        machine = find_machine(arguments.device, arguments.dtype, devices=devices)
    else:
        machine = named_machine(device, arguments.dtype)
    settings, key_frames = read_settings(arguments), read_key_frames(arguments)
    with terminal.progress() as progress:
        plan = plan_video(
            arguments.source,
            settings,
            target,
            machine=machine,
            traits=read_traits(settings.model, arguments),
            key_frames=key_frames,
            progress=progress,
        )
    prediction = None if device is None else predict(plan.layout, device, machine.number_format)
    if arguments.json:
        terminal.show_json(plan.to_json() | ({} if prediction is None else {"seconds": asdict(prediction)}))
        return
    rows = dict(describe_plan(plan)) | dict(target_rows(plan, target))
    if device is not None and prediction is not None:
        rows[f"on {device.title}"] = describe_prediction(plan, prediction)
    terminal.show_rows(rows.items())
