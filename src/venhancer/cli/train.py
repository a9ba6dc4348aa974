"""`venhancer train`, `train index` and `train curves`: their flags, and one call of the library for each."""

import argparse
import os
import warnings
from pathlib import Path

from venhancer.cli.flags import add_command, add_fields, given_fields
from venhancer.cli.terminal import Terminal
from venhancer.errors import SettingsError
from venhancer.training.settings import IndexSettings, parse_index_settings


def add(commands: argparse._SubParsersAction) -> None:
    """Add the commands."""
    train = add_command(commands, "train", _train, "RECIPE", "Train a model, or resume training.")
    train.set_defaults(when_stopped="run the same command again to resume")
    train.add_argument("recipe", metavar="RECIPE", type=Path, help="YAML file of training settings.")
    train.add_argument("--dry-run", action="store_true", help="Show what the run will cost.")
    train.add_argument(
        "--tflops", metavar="N", type=float, help="With --dry-run: also show how long it takes at this rate."
    )
    train.add_argument("--quiet", action="store_true", help="Show the result only.")

    index = add_command(commands, "train index", _train_index, "FOLDER", "Make the manifest that training reads.")
    index.set_defaults(when_stopped="no manifest was written")
    index.add_argument("folder", metavar="FOLDER", type=Path, help="Folder of videos, arrays, pictures and tar shards.")
    index.add_argument("--output", metavar="FILE", type=Path, help="The manifest. Default: FOLDER/manifest.jsonl.")
    index.add_argument("--overwrite", action="store_true", help="Replace the manifest if it exists.")
    index.add_argument("--quiet", action="store_true", help="Show errors only.")
    add_fields(index, IndexSettings)

    curves = add_command(commands, "train curves", _train_curves, "RUN...", "Draw the loss curves of training runs.")
    curves.add_argument("runs", metavar="RUN", nargs="+", type=Path, help="Output folders of training runs.")
    curves.add_argument(
        "--output", metavar="FILE", type=Path, default=Path("curves.png"), help="Picture to write; default curves.png."
    )


def _train(arguments: argparse.Namespace) -> None:
    terminal = Terminal()
    try:
        from venhancer.training.settings import TrainSettings

        runs = TrainSettings.in_turn(arguments.recipe)
        from venhancer.runtime.devices import flush_denormals
        from venhancer.runtime.heap import keep_freed_memory
        from venhancer.training.cost import run_cost
        from venhancer.training.loop import train
    except ModuleNotFoundError as error:
        raise SettingsError(f"training needs {error.name}; run pip install 'venhancer[train]'") from error
    if arguments.tflops is not None and not (arguments.dry_run and arguments.tflops > 0):
        raise SettingsError(
            f"--tflops {arguments.tflops:g} needs --dry-run and a value above 0, such as --dry-run --tflops 300"
        )
    if arguments.dry_run:
        for settings in runs:
            if settings is not runs[0] and settings.start_from is not None and not settings.start_from.exists():
                terminal.show_line(f"then the run in {settings.output}; it starts from {settings.start_from}")
                continue
            terminal.show_rows(run_cost(settings).describe(arguments.tflops))
        return
    if not arguments.debug:
        _hush_libraries()
    if not arguments.quiet:
        terminal.show_log()
    keep_freed_memory()
    flush_denormals()
    speaks = int(os.environ.get("RANK", "0")) == 0  # one of several processes
    for settings in runs:
        folder = train(settings)
        if folder is None:
            if speaks:
                terminal.show_line(f"stopped and saved in {settings.output}; {arguments.when_stopped}")
            return
        if speaks:
            terminal.show_line(f"wrote {folder}; use it with --model {folder}")


def _train_index(arguments: argparse.Namespace) -> None:
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
    terminal.show_line(f"wrote {report.manifest}; to train on it, set data: {report.manifest}")


def _train_curves(arguments: argparse.Namespace) -> None:
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
