"""`venhancer table`: its flags, and one call of `venhancer.evaluation.paper` for each kind of table."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from venhancer.cli.flags import add_command
from venhancer.cli.fleet import TIME_LIMIT
from venhancer.cli.terminal import Terminal
from venhancer.errors import SettingsError

if TYPE_CHECKING:
    from venhancer.evaluation.paper.protocol import Protocol
    from venhancer.evaluation.paper.systems import Systems
    from venhancer.evaluation.paper.table import PaperTable


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    what = "Fill a table of the paper: its figures beside what is measured here."
    parser = add_command(commands, "table", run, "TABLE", what)
    parser.set_defaults(when_stopped="what is finished is kept; run the same command again to resume")
    parser.add_argument(
        "table", metavar="TABLE", help="1, 2, 3, 4, a1, a2 or a3; or systems, which lists what is ready to run."
    )
    clips = parser.add_argument_group("clips")
    clips.add_argument(
        "--clips", metavar="CLIPS", type=Path, nargs="+", default=[], help="Video files and folders of them."
    )
    clips.add_argument("--frames", metavar="N", type=int, default=25, help="Most frames per clip; default 25.")
    clips.add_argument(
        "--start", metavar="N", type=float, default=0.0, help="Where to start in each clip, in seconds; default 0."
    )
    clips.add_argument("--crop", metavar="WxH", default="", help="Use the middle of each frame, such as 256x160.")
    clips.add_argument(
        "--set", metavar="NAME", default="", help="Set whose figures are shown. Default: the clips' folder."
    )
    clips.add_argument("--videos", metavar="FOLDER", type=Path, help="Table 3: VideoCrafter-2's videos.")
    clips.add_argument("--enhanced", metavar="FOLDER", type=Path, help="Table 3: the same, enhanced.")
    clips.add_argument(
        "--results",
        metavar="SYSTEM=PATH",
        action="append",
        default=[],
        help="Table 3: VBench's results for a system, a file or folder; repeatable.",
    )
    clips.add_argument("--prompts", metavar="FILE", type=Path, help="Table 3: VBench_full_info.json of VBench.")
    clips.add_argument(
        "--shard", metavar="N/COUNT", default="1/1", help="Table 3: score only this part of the videos, such as 2/8."
    )
    clips.add_argument(
        "--workers", metavar="N", type=int, default=1, help="Table 3: processes that score videos; default 1."
    )
    clips.add_argument(
        "--time-limit",
        metavar="S",
        type=float,
        default=TIME_LIMIT,
        help=f"Table 3: seconds without progress after which a video counts as hanging; default {TIME_LIMIT:g}.",
    )
    clips.add_argument("--retry-quarantined", action="store_true", help="Table 3: try anew what was put aside.")
    systems = parser.add_argument_group("systems")
    systems.add_argument("--protocol", metavar="NAME", default="", help="Another protocol, by name or YAML file.")
    systems.add_argument("--systems", metavar="FILE", type=Path, help="YAML file of where your systems are.")
    systems.add_argument("--only", metavar="NAMES", default="", help="Systems, comma-separated. Default: all.")
    systems.add_argument("--scale", metavar="N", type=int, default=0, help="Another scale than the protocol's.")
    systems.add_argument(
        "--temporal-factor", metavar="N", type=int, default=0, help="Another temporal factor than the protocol's."
    )
    systems.add_argument("--model", metavar="MODEL", default="nano", help="Model of tables a1 to a3; default nano.")
    output = parser.add_argument_group("output")
    output.add_argument("--weights", metavar="FOLDER", type=Path, help="Weights of metrics; see docs/tables.md.")
    output.add_argument("--metrics", metavar="NAMES", default="", help="Comma-separated. Default: all available.")
    output.add_argument("--seed", metavar="N", type=int, default=0, help="Random seed; default 0.")
    output.add_argument(
        "--output", metavar="FOLDER", type=Path, default=Path("tables"), help="Folder for tables; default tables."
    )
    output.add_argument("--cache", metavar="FOLDER", type=Path, help="Folder for outputs and scores.")
    output.add_argument("--fresh", action="store_true", help="Ignore the cache and recompute everything.")
    output.add_argument("--quiet", action="store_true", help="Show errors only.")


def run(arguments: argparse.Namespace) -> None:
    """Fill the table, show it and write it.

    Raises:
        SettingsError: something asked for cannot be had.
        InputError: a clip or folder cannot be used.
        WeightsError: weights or a model named are not there.
        JobFailed: something could not be written.
    """
    from venhancer.evaluation.paper.protocol import load_protocol
    from venhancer.evaluation.paper.systems import load_systems
    from venhancer.model_files.folders import cache_folder

    folder = arguments.cache or cache_folder() / "evaluation"
    systems = load_systems(arguments.systems, folder / "packages")
    if arguments.table == "systems":
        _show_systems(systems, Terminal(quiet=arguments.quiet))
        return
    protocol = load_protocol(arguments.table, arguments.protocol)
    if protocol.suite:
        _run_suite(arguments, protocol, systems, folder)
    elif not arguments.clips:
        raise SettingsError(f"table {arguments.table} needs --clips: {protocol.clips}")
    elif protocol.study:
        _run_study(arguments, protocol)
    else:
        _run_evaluation(arguments, protocol, systems, folder)


def _show_systems(systems: "Systems", terminal: Terminal) -> None:
    from venhancer.evaluation.paper.systems import as_rows

    terminal.show_rows(as_rows(systems))


def _run_evaluation(arguments: argparse.Namespace, protocol: "Protocol", systems: "Systems", folder: Path) -> None:
    from venhancer.evaluation.cache import Cache
    from venhancer.evaluation.metrics.weights import find_weights
    from venhancer.evaluation.pages import check_report_folder
    from venhancer.evaluation.paper.protocol import figures_for
    from venhancer.evaluation.paper.report import pictures_of, write_table
    from venhancer.evaluation.paper.table import Choice, fill_table, find_table_clips

    choice = Choice(
        systems=_words(arguments.only),
        metrics=_words(arguments.metrics),
        weights=find_weights(arguments.weights),
        seed=arguments.seed,
        scale=arguments.scale,
        factor=arguments.temporal_factor,
    )
    clips = find_table_clips(
        protocol, choice, arguments.clips, frames=arguments.frames, start=arguments.start, crop=arguments.crop
    )
    figures = figures_for(protocol, arguments.set, arguments.clips)
    check_report_folder(arguments.output)
    terminal, cache = Terminal(quiet=arguments.quiet), Cache(folder, is_fresh=arguments.fresh)
    with terminal.progress() as progress:
        table, found = fill_table(protocol, clips, systems, choice, figures=figures, cache=cache, progress=progress)
    _show(terminal, table, write_table(arguments.output, table, pictures_of(found, clips, cache)))


def _run_suite(arguments: argparse.Namespace, protocol: "Protocol", systems: "Systems", folder: Path) -> None:
    from venhancer.evaluation.metrics.weights import find_weights
    from venhancer.evaluation.pages import check_report_folder
    from venhancer.evaluation.paper.protocol import paper_figures
    from venhancer.evaluation.paper.report import write_table
    from venhancer.evaluation.paper.scoring import Crew
    from venhancer.evaluation.paper.suite import SuiteSettings, fill_suite, parse_results, parse_shard

    videos = {"videocrafter-2": arguments.videos, "videocrafter-2-venhancer": arguments.enhanced}
    systems = systems.with_videos({name: path for name, path in videos.items() if path is not None})
    settings = SuiteSettings(
        weights=find_weights(arguments.weights),
        records=folder / "suite",
        prompts=arguments.prompts,
        results=parse_results(arguments.results, systems),
        shard=parse_shard(arguments.shard),
        crew=Crew(
            workers=arguments.workers,
            time_limit=arguments.time_limit,
            retry_quarantined=arguments.retry_quarantined,
        ),
        seed=arguments.seed,
    )
    check_report_folder(arguments.output)
    terminal = Terminal(quiet=arguments.quiet)
    with terminal.progress() as progress:
        table = fill_suite(protocol, systems, settings, paper_figures(protocol), progress=progress)
    _show(terminal, table, write_table(arguments.output, table))


def _run_study(arguments: argparse.Namespace, protocol: "Protocol") -> None:
    from venhancer.cli import study

    words = {
        "clips": arguments.clips,
        "studies": protocol.study,
        "values": [],
        "model": arguments.model,
        "prompt": None,
        "temporal_factor": arguments.temporal_factor or 3,
        "scale": float(arguments.scale or 4),
        "device": "auto",
        "dtype": "auto",
    }
    study.run(argparse.Namespace(**{**vars(arguments), **words}))


def _show(terminal: Terminal, table: "PaperTable", files: list[Path]) -> None:
    from venhancer.evaluation.paper.report import shortfalls, tables_of
    from venhancer.evaluation.tables import as_lines

    for one in tables_of(table):
        for line in (one.title, *as_lines(one), ""):
            terminal.show_line(line)
    for line in (*table.notes, *shortfalls(table)):
        terminal.show_line(line)
    terminal.show_line(f"wrote {files[-1]}, and .json, .md and .tex beside it")


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
