"""Commands, flags and help stay as they are until somebody decides otherwise."""

import re
import sys
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path

import pytest

from venhancer.cli.main import main

HELP = Path(__file__).with_name("help.txt")
COMMANDS = [
    "",
    "enhance",
    "plan",
    "weights",
    "weights download",
    "weights convert",
    "weights show",
    "evaluate",
    "seams",
    "study",
    "train",
    "train index",
    "train curves",
]
SETTINGS = (
    "--scale --size --fps --input-fps --start --end --slow -p --prompt --negative-prompt --prompt-suffix --steps "
    "--solver --timetable --penultimate --guidance-scale --guidance-rescale --noise-aug --noise-augmentation "
    "--start-timestep --start-noise --posterior --downscale-factor --seed --window-frames --window-overlap "
    "--window-fade --tile --memory --offload --no-shots --codec --crf --pix-fmt --encoder --color-fix "
    "--background --keep-damaged --published --model"
)
FLAGS = {
    "": "--version",
    "enhance": f"--debug --overwrite --restart --dry-run --json --device --dtype --quiet {SETTINGS}",
    "plan": f"--debug --json --device --dtype {SETTINGS}",
    "weights": "",
    "weights download": "--debug --dtype",
    "weights convert": "--debug --dtype --vae --text --tokenizer --target",
    "weights show": "--debug",
    "evaluate": (
        "--debug --contenders --model-folder --baseline --scale --temporal-factor --frames --start --kernel "
        "--input-noise --input-crf --no-reference --metrics --lpips-weights --dists-weights --output --cache --fresh "
        "--quiet"
    ),
    "seams": "--debug --report --json",
    "study": (
        "--debug --model --studies --values --scale --temporal-factor -p --prompt --seed --frames --start --crop "
        "--metrics --output --cache --fresh --device --dtype --quiet"
    ),
    "train": "--debug --dry-run --tflops --quiet",
    "train index": "--debug --output --overwrite --quiet --licence --split --captions --shortest --longest --smallest "
    "--darkest --stillest --whole-files --moves --move-size --move-frames --parallax-share --rate --shard-size "
    "--workers",
    "train curves": "--debug --output",
}


def help_of(command: str) -> str:
    """Return what `venhancer COMMAND --help` shows."""
    shown = StringIO()
    with redirect_stdout(shown), suppress(SystemExit):
        main([*command.split(), "--help"])
    return shown.getvalue()


def all_help() -> str:
    return "\n".join(
        f"$ venhancer {command} --help\n{help_of(command)}".replace("  --help", " --help") for command in COMMANDS
    )


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")


def test_flags_are_frozen():
    """A new flag is added here by hand; a flag that goes or changes its name breaks somebody's script."""
    for command, flags in FLAGS.items():
        invocations = re.findall(r"(?m)^  (-.*?)(?:  |$)", help_of(command))
        found = [flag for invocation in invocations for flag in re.findall(r"--?[a-z][a-z-]*", invocation)]
        assert found == ["-h", "--help", *flags.split()], command


def test_help_is_as_it_was_last_read():
    """After a change on purpose: `COLUMNS=100 python tests/contracts/test_command_line.py`, and read the diff."""
    assert all_help() == HELP.read_text()


if __name__ == "__main__":
    HELP.write_text(all_help())
    sys.stdout.write(f"wrote {HELP}\n")
