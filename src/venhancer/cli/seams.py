"""`venhancer seams`: its flags, and whether one can see where an output was put together."""

import argparse
from pathlib import Path

from venhancer.cli.flags import add_command
from venhancer.cli.terminal import Terminal


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = add_command(commands, "seams", run, "RESULT SOURCE", "Measure whether the seams of an output show.")
    parser.add_argument("result", metavar="RESULT", type=Path, help="The enhanced video.")
    parser.add_argument("source", metavar="SOURCE", type=Path, help="Its input.")
    parser.add_argument(
        "--report", metavar="FILE", type=Path, required=True, help="Report of `enhance --json FILE` or `plan --json`."
    )
    parser.add_argument("--json", action="store_true", help="Print JSON.")


def run(arguments: argparse.Namespace) -> None:
    """Measure the result's seams against its enlarged input and show them.

    Raises:
        InputError: a file cannot be used, or they do not belong together.
    """
    from venhancer.evaluation.joins import judge_joins

    terminal = Terminal()
    with terminal.busy("measuring"):
        verdict = judge_joins(arguments.result, arguments.source, arguments.report)
    if arguments.json:
        terminal.show_json(verdict.to_json())
    else:
        terminal.show_rows(verdict.describe())
