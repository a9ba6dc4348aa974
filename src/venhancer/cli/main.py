"""The command line: flags into settings, one call of the library, a few lines of output; no logic.

Whatever is cheap to check is checked first: settings, target, clip and plan come before torch is loaded, so that a
mistake is answered in a second and `--help` and `plan` never wait. Modules are therefore imported where they are used.
"""

import argparse
import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from venhancer.cli.enhance import add_device_flags
from venhancer.cli.enhance import add_flags as add_enhance_flags
from venhancer.cli.enhance import run as _enhance
from venhancer.cli.evaluate import add_flags as add_evaluate_flags
from venhancer.cli.evaluate import run as _evaluate
from venhancer.cli.flags import OneLineParser, add_fields, add_settings, given_fields, read_settings
from venhancer.cli.seams import add_flags as add_seams_flags
from venhancer.cli.seams import run as _seams
from venhancer.cli.study import add_flags as add_study_flags
from venhancer.cli.study import run as _study
from venhancer.errors import SettingsError, Stopped, VEnhancerError
from venhancer.training.settings import IndexSettings, parse_index_settings

if TYPE_CHECKING:
    from venhancer.model_files.description import ModelDescription

Command = Callable[[argparse.Namespace], None]


def main(words: Sequence[str] | None = None) -> None:
    """Run one command.

    Args:
        words: arguments; those of the process if left out.

    Raises:
        SystemExit: 2 after an error for something outside the program, told in one line, 130 after Ctrl-C.
    """
    try:
        arguments = _parse(sys.argv[1:] if words is None else words)
    except SettingsError as error:
        _end(str(error), 2)
    try:
        arguments.run(arguments)
        sys.stdout.flush()
    except VEnhancerError as error:
        if arguments.debug:
            traceback.print_exception(error)
        _end(str(error), 2)
    except OSError as error:
        if arguments.debug:
            traceback.print_exception(error)
        _end(f"{error.filename or 'standard output'} cannot be written ({error.strerror}); make room and check it", 2)
    except KeyboardInterrupt as interrupt:
        _end(f"stopped; {interrupt if isinstance(interrupt, Stopped) else arguments.when_stopped}", 130)


def _end(line: str, code: int) -> NoReturn:
    from venhancer.cli.terminal import Terminal

    Terminal().warn(line)
    for stream in (sys.stdout, sys.stderr):  # what they still hold must not fail once more when the program ends
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)


def _parse(words: Sequence[str]) -> argparse.Namespace:
    arguments, unknown = make_parser().parse_known_args(words)
    if unknown:
        arguments.parser.refuse(unknown)
    if arguments.run is None:
        arguments.parser.error("give a command")
    return arguments


def make_parser() -> OneLineParser:
    """Return the parser of all commands; each leaves its function in `run` and itself in `parser`."""
    parser = OneLineParser(
        prog="venhancer", description="Enhance video in space and time.", usage="venhancer COMMAND ...", epilog=_EXAMPLE
    )
    parser.add_argument("--version", action="version", version=f"venhancer {version('venhancer')}")
    parser.set_defaults(parser=parser, run=None, when_stopped="nothing was written")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", prog=parser.prog)

    add_enhance_flags(_add_command(commands, "enhance", _enhance, "SOURCE TARGET", "Enhance a video file."))

    plan = _add_command(commands, "plan", _plan, "SOURCE [TARGET]", "Show what enhance would do; loads no model.")
    plan.add_argument("source", metavar="SOURCE", type=Path, help="A video or picture, or frames/%%04d.png.")
    plan.add_argument(
        "target", metavar="TARGET", nargs="?", type=Path, help="Also what it cannot keep and what is finished of it."
    )
    add_settings(plan)
    plan.add_argument("--json", action="store_true", help="Show it as JSON.")
    add_device_flags(plan)

    weights = commands.add_parser("weights", help="Fetch, convert and show models.", usage="venhancer weights COMMAND")
    weights.set_defaults(parser=weights)
    _add_weights(weights)

    add_evaluate_flags(
        _add_command(commands, "evaluate", _evaluate, "CLIPS...", "Compare models and baselines on clips.")
    )

    add_seams_flags(_add_command(commands, "seams", _seams, "RESULT SOURCE", "Tell whether joins of an output show."))

    add_study_flags(_add_command(commands, "study", _study, "CLIPS...", "Show what each setting of a model does."))

    train = _add_command(commands, "train", _train, "RECIPE", "Train a model, or go on where training stopped.")
    train.set_defaults(when_stopped="the same command goes on from there")
    train.add_argument("recipe", metavar="RECIPE", type=Path, help="YAML file of training settings.")
    train.add_argument("--dry-run", action="store_true", help="Show what the run will cost and stop.")
    train.add_argument("--tflops", metavar="N", type=float, help="With --dry-run: also how long it takes at this rate.")
    train.add_argument("--quiet", action="store_true", help="Show the result only.")

    index = _add_command(commands, "train index", _train_index, "FOLDER", "Make the manifest that training reads.")
    index.set_defaults(when_stopped="no manifest was written")
    index.add_argument("folder", metavar="FOLDER", type=Path, help="Videos, arrays, pictures and tar shards.")
    index.add_argument("--output", metavar="FILE", type=Path, help="The manifest; else FOLDER/manifest.jsonl.")
    index.add_argument("--overwrite", action="store_true", help="Replace the manifest if it is there.")
    index.add_argument("--quiet", action="store_true", help="Show errors only.")
    add_fields(index, IndexSettings)

    curves = _add_command(commands, "train curves", _train_curves, "RUN...", "Draw the loss curves of training runs.")
    curves.add_argument("runs", metavar="RUN", nargs="+", type=Path, help="Output folders of runs.")
    curves.add_argument("--output", metavar="FILE", type=Path, default=Path("curves.png"), help="Default curves.png.")
    return parser


def _add_weights(weights: OneLineParser) -> None:
    from venhancer.model_files.folders import PUBLISHED

    commands = weights.add_subparsers(title="commands", metavar="COMMAND", prog=weights.prog)
    releases = " or ".join(PUBLISHED)

    download = _add_command(commands, "download", _download, "RELEASE", "Fetch a published release and convert it.")
    download.set_defaults(when_stopped="the same command goes on")
    convert = _add_command(commands, "convert", _convert, "RELEASE CHECKPOINT", "Convert published files you have.")
    for command in (download, convert):
        command.add_argument("release", metavar="RELEASE", choices=PUBLISHED, help=f"{releases}.")
        command.add_argument(
            "--dtype", metavar="NAME", choices=("fp16", "fp32"), default="fp16", help="fp16 or fp32; default fp16."
        )
    convert.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="venhancer_paper.pt or venhancer_v2.pt.")
    convert.add_argument("--vae", metavar="PATH", type=Path, required=True, help="The autoencoder: a file or folder.")
    convert.add_argument("--text", metavar="PATH", type=Path, required=True, help="OpenCLIP ViT-H/14: file or folder.")
    convert.add_argument("--tokenizer", metavar="PATH", type=Path, help="CLIP's merges; looked for beside --text.")
    convert.add_argument("--target", metavar="FOLDER", type=Path, help="New folder; else where --model RELEASE looks.")

    show = _add_command(commands, "show", _show, "[MODEL]", "Show what a model holds.")
    show.add_argument("model", metavar="MODEL", nargs="?", default="nano", help=f"nano, {releases} or a model folder.")


def _add_command(commands: argparse._SubParsersAction, name: str, run: Command, takes: str, what: str) -> OneLineParser:
    parser: OneLineParser = commands.add_parser(name, help=what, description=what, usage=f"%(prog)s {takes} [flags]")
    parser.add_argument("--debug", action="store_true", help="Show where an error comes from.")
    parser.set_defaults(run=run, parser=parser)
    return parser


def _plan(arguments: argparse.Namespace) -> None:
    from venhancer.cli.enhance import unfinished
    from venhancer.cli.terminal import Terminal
    from venhancer.enhance import plan_video
    from venhancer.jobs.outcome import losses, track_rows
    from venhancer.planning.machine import find_machine
    from venhancer.reports.plan_rows import describe_plan

    target = arguments.target
    machine = find_machine(arguments.device, arguments.dtype)
    with Terminal().progress() as progress:
        plan = plan_video(arguments.source, read_settings(arguments), target, machine=machine, progress=progress)
    if arguments.json:
        Terminal().show_json(plan.to_json())
        return
    rows = dict(describe_plan(plan)) | dict(track_rows(plan, target))
    if target is not None:
        rows |= {"not kept": ", ".join(losses(plan, target))} if losses(plan, target) else {}
        rows |= {"unfinished work": unfinished(target) or "none"}
    Terminal().show_rows(rows.items())


def _download(arguments: argparse.Namespace) -> None:
    from venhancer.checkpoints.download import download
    from venhancer.cli.terminal import Terminal

    terminal = Terminal()
    with terminal.progress() as progress:
        folder = download(arguments.release, dtype=arguments.dtype, progress=progress)
    terminal.show_line(f"wrote {folder}; use it with --model {arguments.release}")


def _convert(arguments: argparse.Namespace) -> None:
    from venhancer.checkpoints.convert import convert
    from venhancer.cli.terminal import Terminal
    from venhancer.model_files.folders import cache_folder

    terminal = Terminal()
    with terminal.progress() as progress:
        folder = convert(
            arguments.checkpoint,
            vae=arguments.vae,
            text=arguments.text,
            tokenizer=arguments.tokenizer,
            target=arguments.target or cache_folder() / arguments.release,
            version=arguments.release,
            dtype=arguments.dtype,
            progress=progress,
        )
    terminal.show_line(f"wrote {folder}; use it with --model {folder if arguments.target else arguments.release}")


def _show(arguments: argparse.Namespace) -> None:
    from venhancer.cli.terminal import Terminal
    from venhancer.model_files.description import describe_model

    Terminal().show_rows(_model_rows(describe_model(arguments.model)))


def _model_rows(model: "ModelDescription") -> Iterator[tuple[str, str]]:
    yield "folder", str(model.folder)
    for part in model.components:
        size = f"{part.parameters / 1e6:,.2f} M parameters, {part.bytes / 1e6:,.1f} MB {' and '.join(part.dtypes)}"
        yield part.name, f"{part.class_name}, {size}"
    for name, value in model.settings.items():
        yield name, json.dumps(value)
    if model.conversion is not None:
        yield "converted from", json.dumps(model.conversion)


def _train(arguments: argparse.Namespace) -> None:
    from venhancer.cli.terminal import Terminal

    terminal = Terminal()
    try:
        from venhancer.training.settings import TrainSettings

        settings = TrainSettings.from_file(arguments.recipe)
        from venhancer.training.cost import run_cost
        from venhancer.training.loop import train
    except ModuleNotFoundError as error:
        raise SettingsError(f"training needs {error.name}; run pip install 'venhancer[train]'") from error
    if arguments.tflops is not None and not (arguments.dry_run and arguments.tflops > 0):
        raise SettingsError(f"--tflops {arguments.tflops:g} is for --dry-run and above 0; pass both, such as 300")
    if arguments.dry_run:
        terminal.show_rows(run_cost(settings).describe(arguments.tflops))
        return
    if not arguments.debug:
        _hush_libraries()
    if not arguments.quiet:
        terminal.show_log()
    folder = train(settings)
    if int(os.environ.get("RANK", "0")) > 0:  # of several processes one speaks
        return
    if folder is None:
        terminal.show_line(f"stopped and saved in {settings.output}; {arguments.when_stopped}")
    else:
        terminal.show_line(f"wrote {folder}; use it with --model {folder}")


def _train_index(arguments: argparse.Namespace) -> None:
    from venhancer.cli.terminal import Terminal

    settings = parse_index_settings(**given_fields(arguments, IndexSettings))
    terminal = Terminal(quiet=arguments.quiet)
    terminal.show_log()
    try:
        from venhancer.training.data.index import index_folder

        with terminal.progress() as progress:
            report = index_folder(
                arguments.folder,
                settings,
                output=arguments.output,
                overwrite=arguments.overwrite,
                progress=progress,
            )
    except ModuleNotFoundError as error:
        raise SettingsError(f"pictures need {error.name}; run pip install 'venhancer[train]'") from error
    terminal.show_rows(report.describe())
    terminal.show_line(f"wrote {report.manifest}; train on it with data: {report.manifest}")


def _train_curves(arguments: argparse.Namespace) -> None:
    from venhancer.cli.terminal import Terminal
    from venhancer.training.log.curves import draw_curves

    draw_curves(arguments.runs, arguments.output)
    Terminal().show_line(f"wrote {arguments.output}")


def _hush_libraries() -> None:
    """Keep the bars and remarks of other packages out of the log."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    warnings.simplefilter("ignore")
    for logging in (diffusers_logging, transformers_logging):
        logging.disable_progress_bar()
        logging.set_verbosity_error()


_EXAMPLE = "Try: venhancer enhance in.mp4 out.mp4 --scale 4 --fps 24"
