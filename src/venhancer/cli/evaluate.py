"""`venhancer evaluate`: its flags, and one call of `venhancer.evaluation`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from venhancer.cli.flags import add_command
from venhancer.cli.terminal import Terminal
from venhancer.errors import JobFailed, SettingsError

if TYPE_CHECKING:
    from venhancer.evaluation.contenders import Contender
    from venhancer.evaluation.degrade import Degradation
    from venhancer.evaluation.evaluation import EvaluateSettings

CONTENDERS = "nano,bicubic+repeat,lanczos+minterpolate"


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = add_command(commands, "evaluate", run, "CLIPS...", "Compare models and baselines on clips.")
    parser.set_defaults(when_stopped="what was made is kept; the same command goes on")
    parser.add_argument("clips", metavar="CLIPS", type=Path, nargs="+", help="Video files, and folders of them.")
    contenders = parser.add_argument_group("who takes part")
    contenders.add_argument(
        "--contenders",
        metavar="NAMES",
        default=CONTENDERS,
        help="Models and baselines, commas between; nano@noise_augmentation=0 changes a setting. docs/evaluation.md "
        f"lists them; default {CONTENDERS}.",
    )
    contenders.add_argument(
        "--model-folder", metavar="FOLDER", action="append", default=[], help="A model folder; may be given again."
    )
    contenders.add_argument(
        "--baseline",
        metavar="NAME=COMMAND",
        action="append",
        default=[],
        help='Any program: "name=prog {input} {output} {scale} {factor}"; may be given again.',
    )
    task = parser.add_argument_group("what is asked of them")
    task.add_argument("--scale", metavar="N", type=int, default=4, help="How many times larger, 1 to 8; default 4.")
    task.add_argument(
        "--temporal-factor", metavar="N", type=int, default=3, help="How many times the rate, 1 to 8; default 3."
    )
    task.add_argument("--frames", metavar="N", type=int, default=25, help="Most frames of a clip; default 25.")
    task.add_argument("--start", metavar="N", type=float, default=0.0, help="Seconds into each clip; default 0.")
    inputs = parser.add_argument_group("how inputs are made of the clips")
    inputs.add_argument(
        "--kernel", metavar="NAME", default="bicubic", help="area, bicubic, bilinear, lanczos; default bicubic."
    )
    inputs.add_argument(
        "--input-noise", metavar="N", type=float, default=0.0, help="Noise, in levels of 255; default 0."
    )
    inputs.add_argument(
        "--input-crf", metavar="N", type=int, help="H.264 quality, 0 to 51; not compressed if left out."
    )
    inputs.add_argument(
        "--no-reference", action="store_true", help="Clips are inputs themselves: measure what needs no truth."
    )
    output = parser.add_argument_group("what is measured and written")
    output.add_argument("--metrics", metavar="NAMES", help="Commas between; all that can be had if left out.")
    for name in ("lpips", "dists"):
        output.add_argument(
            f"--{name}-weights", metavar="PATH", type=Path, help=f"Weights of {name.upper()}: a file or a folder."
        )
    output.add_argument(
        "--output", metavar="FOLDER", type=Path, default=Path("report"), help="Where the report goes; default report."
    )
    output.add_argument("--cache", metavar="FOLDER", type=Path, help="Where outputs and packages are kept.")
    output.add_argument("--fresh", action="store_true", help="Make everything anew, whatever is kept.")
    output.add_argument("--quiet", action="store_true", help="Show errors only.")


def run(arguments: argparse.Namespace) -> None:
    """Evaluate, show the means and write the report.

    Raises:
        SettingsError: something asked for cannot be had.
        InputError: a clip or the output folder cannot be used.
        WeightsError: a model or weights named are not there.
        JobFailed: every contender failed, or something could not be written.
    """
    degradation = _degradation(arguments)  # before torch is loaded
    from venhancer.evaluation.cache import Cache
    from venhancer.evaluation.clips import find_clips
    from venhancer.evaluation.evaluation import evaluate
    from venhancer.evaluation.pages import check_report_folder, write_pages
    from venhancer.evaluation.tables import as_lines, failures, table_of_means
    from venhancer.model_files.folders import cache_folder

    terminal = Terminal(quiet=arguments.quiet)
    settings = _settings(arguments, degradation)
    folder = arguments.cache or cache_folder() / "evaluation"
    contenders = _contenders(arguments, folder / "packages")
    clips = find_clips(
        arguments.clips,
        frames=arguments.frames,
        start=arguments.start,
        scale=degradation.scale if settings.has_reference else 1,
        factor=degradation.factor if settings.has_reference else 1,
    )
    check_report_folder(arguments.output)
    cache = Cache(folder, is_fresh=arguments.fresh)
    with terminal.progress() as progress:
        evaluation = evaluate(clips, contenders, settings, cache, progress=progress)
    page = write_pages(arguments.output, evaluation, clips, cache)[-1]
    for line in as_lines(table_of_means(evaluation)):
        terminal.show_line(line)
    for line in failures(evaluation):
        terminal.warn(line)
    for line in evaluation.left_out:
        terminal.warn(f"not measured: {line}")
    if all(one.error for one in evaluation.results if one.contender in {c.name for c in contenders}):
        raise JobFailed(f"every contender failed; see above and {page}")
    terminal.show_line(f"wrote {page}, and report.json and report.md beside it")


def _settings(arguments: argparse.Namespace, degradation: "Degradation") -> "EvaluateSettings":
    from venhancer.evaluation.evaluation import EvaluateSettings

    weights = {"lpips": arguments.lpips_weights, "dists": arguments.dists_weights}
    return EvaluateSettings(
        degradation=degradation,
        has_reference=not arguments.no_reference and degradation.changes_anything,
        metrics=tuple(arguments.metrics.split(",")) if arguments.metrics else None,
        weights={name: path for name, path in weights.items() if path is not None},
    )


def _degradation(arguments: argparse.Namespace) -> "Degradation":
    from venhancer.evaluation.degrade import Degradation

    if arguments.no_reference and (arguments.input_noise or arguments.input_crf is not None):
        raise SettingsError("--no-reference takes clips as they are; leave --input-noise and --input-crf out")
    return Degradation(
        scale=arguments.scale,
        factor=arguments.temporal_factor,
        kernel=arguments.kernel,
        noise=arguments.input_noise,
        crf=arguments.input_crf,
    )


def _contenders(arguments: argparse.Namespace, packages: Path) -> "list[Contender]":
    from venhancer.evaluation.contenders import command_contender, model_contender, parse_contender

    named = [parse_contender(name.strip(), packages) for name in arguments.contenders.split(",") if name.strip()]
    folders = [model_contender(folder, {}) for folder in arguments.model_folder]
    return [*named, *folders, *(command_contender(text) for text in arguments.baseline)]
