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
    parser.set_defaults(when_stopped="finished outputs are kept; run the same command again to resume")
    parser.add_argument("clips", metavar="CLIPS", type=Path, nargs="+", help="Video files, or folders of them.")
    contenders = parser.add_argument_group("contenders")
    contenders.add_argument(
        "--contenders",
        metavar="NAMES",
        default=CONTENDERS,
        help="Models and baselines, comma-separated; nano@noise_augmentation=0 changes a setting. docs/evaluation.md "
        f"lists them; default {CONTENDERS}.",
    )
    contenders.add_argument(
        "--model-folder", metavar="FOLDER", action="append", default=[], help="A model folder; repeatable."
    )
    contenders.add_argument(
        "--baseline",
        metavar="NAME=COMMAND",
        action="append",
        default=[],
        help='Any program: "name=prog {input} {output} {scale} {factor}"; repeatable.',
    )
    task = parser.add_argument_group("task")
    task.add_argument("--scale", metavar="N", type=int, default=4, help="Enlargement, 1 to 8; default 4.")
    task.add_argument(
        "--temporal-factor", metavar="N", type=int, default=3, help="Frame rate factor, 1 to 8; default 3."
    )
    task.add_argument("--frames", metavar="N", type=int, default=25, help="Most frames per clip; default 25.")
    task.add_argument(
        "--start", metavar="N", type=float, default=0.0, help="Where to start in each clip, in seconds; default 0."
    )
    inputs = parser.add_argument_group("inputs")
    inputs.add_argument(
        "--kernel", metavar="NAME", default="bicubic", help="area, bicubic, bilinear, lanczos; default bicubic."
    )
    inputs.add_argument(
        "--input-noise", metavar="N", type=float, default=0.0, help="Noise, in levels of 255; default 0."
    )
    inputs.add_argument("--input-crf", metavar="N", type=int, help="H.264 quality, 0 to 51. Default: no compression.")
    inputs.add_argument(
        "--no-reference", action="store_true", help="Treat clips as inputs; use metrics that need no truth."
    )
    output = parser.add_argument_group("output")
    output.add_argument("--metrics", metavar="NAMES", help="Comma-separated. Default: all available.")
    output.add_argument("--weights", metavar="FOLDER", type=Path, help="Weights of metrics; see docs/tables.md.")
    for name in ("lpips", "dists"):
        output.add_argument(
            f"--{name}-weights", metavar="PATH", type=Path, help=f"{name.upper()}'s weights: a file or folder."
        )
    output.add_argument(
        "--output", metavar="FOLDER", type=Path, default=Path("report"), help="Report folder; default report."
    )
    output.add_argument("--cache", metavar="FOLDER", type=Path, help="Folder for outputs and packages.")
    output.add_argument("--fresh", action="store_true", help="Ignore the cache and recompute everything.")
    output.add_argument("--quiet", action="store_true", help="Show errors only.")


def run(arguments: argparse.Namespace) -> None:
    """Evaluate, show the means and write the report.

    Raises:
        SettingsError: a request is impossible.
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
        raise JobFailed(f"all contenders failed; see above and {page}")
    terminal.show_line(f"wrote {page}, with report.json and report.md beside it")


def _settings(arguments: argparse.Namespace, degradation: "Degradation") -> "EvaluateSettings":
    from venhancer.evaluation.evaluation import EvaluateSettings
    from venhancer.evaluation.metrics.weights import find_weights

    named = {"lpips": arguments.lpips_weights, "dists": arguments.dists_weights}
    weights = {**find_weights(arguments.weights), **{name: path for name, path in named.items() if path is not None}}
    return EvaluateSettings(
        degradation=degradation,
        has_reference=not arguments.no_reference and degradation.changes_anything,
        metrics=tuple(arguments.metrics.split(",")) if arguments.metrics else None,
        weights=weights,
    )


def _degradation(arguments: argparse.Namespace) -> "Degradation":
    from venhancer.evaluation.degrade import Degradation

    if arguments.no_reference and (arguments.input_noise or arguments.input_crf is not None):
        raise SettingsError("--no-reference uses clips as they are; omit --input-noise and --input-crf")
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
