"""The command line: flags into settings, one call of the library, a few lines of output; no logic.

Whatever is cheap to check is checked first: settings, target, clip and plan come before torch is loaded, so that a
mistake is answered in a second and `--help` and `plan` never wait. Modules are therefore imported where they are used.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from typing import NoReturn

from venhancer.cli import doctor, enhance, evaluate, fleet, plan, seams, serve, study, table, train, weights
from venhancer.cli.flags import OneLineParser
from venhancer.cli.terminal import Terminal
from venhancer.errors import SettingsError, Stopped, VEnhancerError

_EXAMPLE = "Try: venhancer enhance in.mp4 out.mp4 --scale 4 --fps 24"


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
        _end(
            f"{error.filename or 'standard output'} cannot be written ({error.strerror}); check it and its free space",
            2,
        )
    except KeyboardInterrupt as interrupt:
        _end(f"stopped; {interrupt if isinstance(interrupt, Stopped) else arguments.when_stopped}", 130)


def _end(line: str, code: int) -> NoReturn:
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
        arguments.parser.error("a command is missing")
    return arguments


def make_parser() -> OneLineParser:
    """Return the parser of all commands; each leaves its function in `run` and itself in `parser`."""
    parser = OneLineParser(
        prog="venhancer", description="Enhance video in space and time.", usage="venhancer COMMAND ...", epilog=_EXAMPLE
    )
    parser.add_argument("--version", action="version", version=f"venhancer {version('venhancer')}")
    parser.set_defaults(parser=parser, run=None, when_stopped="nothing was written")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", prog=parser.prog)

    for command in (enhance, plan, fleet, serve, weights, evaluate, seams, study, table, train, doctor):
        command.add(commands)
    return parser
