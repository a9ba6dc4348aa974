"""`venhancer doctor`: what a bug report needs to know, as text to paste."""

import argparse

from venhancer.cli.flags import add_command
from venhancer.cli.terminal import Terminal


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    add_command(commands, "doctor", run, "", "Show what a bug report needs: versions, devices, a short test.")


def run(_: argparse.Namespace) -> None:
    """Show what this machine has."""
    from venhancer.reports.checkup import check_up

    terminal = Terminal()
    for row in check_up():
        terminal.show_rows([row])
