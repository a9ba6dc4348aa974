"""`venhancer study`: its flags, and a call of `venhancer.evaluation.studies` for each study."""

import argparse
from pathlib import Path

from venhancer.cli.flags import add_command
from venhancer.cli.terminal import Terminal


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = add_command(commands, "study", run, "CLIPS...", "Show what each setting of a model does.")
    parser.add_argument("clips", metavar="CLIPS", type=Path, nargs="+", help="Video files, or folders of them.")
    parser.add_argument(
        "--model", metavar="MODEL", default="nano", help="nano, v1, v2 or a model folder; default nano."
    )
    studies = parser.add_argument_group("studies")
    studies.add_argument(
        "--studies",
        metavar="NAMES",
        default="",
        help="Comma-separated: guidance, words, noise, told-scale, scales, times, refine, seeds; only if named: steps, "
        "start, start-noise; all for everything.",
    )
    studies.add_argument(
        "--values",
        metavar="STUDY=LIST",
        action="append",
        default=[],
        help="Other values for a study, such as guidance=1,3,7.5; repeatable.",
    )
    studies.add_argument(
        "--scale", metavar="N", type=float, default=4.0, help="Enlargement, unless a study varies it; default 4."
    )
    studies.add_argument(
        "--temporal-factor",
        metavar="N",
        type=int,
        default=3,
        help="Frame rate factor, 1 to 8, unless a study varies it; default 3.",
    )
    studies.add_argument(
        "-p", "--prompt", metavar="TEXT", help="What all clips show. Default: the .txt file beside each clip, if any."
    )
    studies.add_argument("--seed", metavar="N", type=int, default=0, help="Random seed; default 0.")
    inputs = parser.add_argument_group("clips")
    inputs.add_argument("--frames", metavar="N", type=int, default=13, help="Most frames per clip; default 13.")
    inputs.add_argument(
        "--start", metavar="N", type=float, default=0.0, help="Where to start in each clip, in seconds; default 0."
    )
    inputs.add_argument("--crop", metavar="WxH", help="Use the middle of each frame, such as 256x160.")
    output = parser.add_argument_group("output")
    output.add_argument(
        "--metrics", metavar="NAMES", default="", help="Comma-separated; docs/evaluation.md lists them."
    )
    output.add_argument(
        "--output", metavar="FOLDER", type=Path, default=Path("studies"), help="Report folder; default studies."
    )
    output.add_argument("--cache", metavar="FOLDER", type=Path, help="Folder for outputs.")
    output.add_argument("--fresh", action="store_true", help="Ignore the cache and recompute everything.")
    output.add_argument("--device", metavar="NAME", default="auto", help="As for enhance; default auto.")
    output.add_argument("--dtype", metavar="NAME", default="auto", help="As for enhance; default auto.")
    output.add_argument("--quiet", action="store_true", help="Show errors only.")


def run(arguments: argparse.Namespace) -> None:
    """Do the studies, show what each found and write the report.

    Raises:
        SettingsError: a request is impossible.
        InputError: a clip or the output folder cannot be used.
        WeightsError: there is no such model.
        JobFailed: something could not be written.
    """
    from venhancer.evaluation.studies.catalogue import choose_studies

    studies = choose_studies(_words(arguments.studies), arguments.values)  # before torch is loaded
    from venhancer.evaluation.cache import Cache
    from venhancer.evaluation.clips import find_clips
    from venhancer.evaluation.pages import check_report_folder
    from venhancer.evaluation.studies.pages import table_of, verdict, write_studies
    from venhancer.evaluation.studies.run import Finding, StudySettings, find_prompts, load_model, run_study
    from venhancer.evaluation.tables import as_lines
    from venhancer.model_files.folders import cache_folder

    terminal = Terminal(quiet=arguments.quiet)
    clips = find_clips(arguments.clips, frames=arguments.frames, start=arguments.start, scale=1, factor=1, fewest=2)
    settings = StudySettings(
        scale=arguments.scale,
        factor=arguments.temporal_factor,
        prompts=find_prompts(clips, arguments.clips, arguments.prompt),
        seed=arguments.seed,
        metrics=tuple(_words(arguments.metrics)) or None,
    )
    clips = [clip.middle(arguments.crop) for clip in clips] if arguments.crop else clips
    check_report_folder(arguments.output)
    with terminal.busy(f"loading {arguments.model}"):
        model = load_model(arguments.model, device=arguments.device, dtype=arguments.dtype)
    cache = Cache(arguments.cache or cache_folder() / "evaluation", is_fresh=arguments.fresh)
    findings: list[Finding] = []
    files: list[Path] = []
    for study in studies:
        with terminal.progress() as progress:
            findings.append(run_study(study, clips, settings, model, cache, progress=progress))
        files = write_studies(arguments.output, arguments.model, settings, findings)
        for line in (*as_lines(table_of(findings[-1])), verdict(findings[-1]), ""):
            terminal.show_line(line)
    terminal.show_line(f"wrote {files[0]} and {len(files) - 1} files beside it")


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
