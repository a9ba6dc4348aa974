"""Commands, flags and help stay as they are until somebody decides otherwise."""

import re
import sys
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path

import pytest

from venhancer.cli.flags import GROUPS
from venhancer.cli.main import main
from venhancer.settings import EnhanceSettings

HELP = Path(__file__).with_name("help.txt")
COMMANDS = [
    "",
    "enhance",
    "plan",
    "fleet",
    "fleet run",
    "fleet plan",
    "fleet status",
    "ui",
    "serve",
    "weights",
    "weights download",
    "weights convert",
    "weights show",
    "evaluate",
    "seams",
    "study",
    "table",
    "train",
    "train index",
    "train curves",
    "doctor",
]
SETTINGS = (
    "--scale --size --fps --slow --input-fps --start --end --no-shots --drop-duplicates --deinterlace -p --prompt "
    "--noise-aug --noise-augmentation --seed --negative-prompt --prompt-suffix --guidance-scale --guidance-rescale "
    "--guidance-from --guidance-until "
    "--start-timestep --start-noise --downscale-factor --posterior --color-fix --background --keep-damaged "
    "--published --codec --crf --pix-fmt --encoder --model --preset --memory --steps --solver --timetable "
    "--penultimate --window-frames --window-overlap --window-fade --tile --offload --feature-reuse --compile"
)
SERVER = "--host --port --auth --folder --inputs --models --most-upload --most-waiting --device --dtype"
OWN_WEIGHTS = "--adapter --adapter-apart --decoder"
FLAGS = {
    "": "--version",
    "enhance": (
        f"--debug --overwrite --dry-run --help-all {SETTINGS} --key-frame {OWN_WEIGHTS} --restart --json --quiet "
        "--device --devices --dtype"
    ),
    "plan": f"--debug --json --on --help-all {SETTINGS} --key-frame {OWN_WEIGHTS} --device --devices --dtype",
    "fleet": "",
    "fleet run": (
        "--debug --prompts --prompt-column --shard --help-all --workers --scratch --time-limit --tries --share-frames "
        "--retry-quarantined --overwrite --restart --metrics --quiet --engine --address --gpus --cpus --resources "
        f"--runtime-env {SETTINGS} --device --dtype"
    ),
    "fleet plan": (
        f"--debug --prompts --prompt-column --shard --sample --tflops --workers --help-all {SETTINGS} --device --dtype"
    ),
    "fleet status": "--debug --json --html --watch",
    "ui": f"--debug --no-browser {SERVER}",
    "serve": f"--debug --token --no-page {SERVER}",
    "weights": "",
    "weights download": "--debug --dtype",
    "weights convert": "--debug --dtype --vae --text --tokenizer --target",
    "weights show": "--debug",
    "evaluate": (
        "--debug --contenders --model-folder --baseline --scale --temporal-factor --frames --start --kernel "
        "--input-noise --input-crf --no-reference --metrics --weights --lpips-weights --dists-weights --output --cache "
        "--fresh --quiet"
    ),
    "seams": "--debug --report --json",
    "study": (
        "--debug --model --studies --values --scale --temporal-factor -p --prompt --seed --frames --start --crop "
        "--metrics --output --cache --fresh --device --dtype --quiet"
    ),
    "table": (
        "--debug --clips --frames --start --crop --set --videos --enhanced --results --prompts --shard --workers "
        "--time-limit --retry-quarantined --protocol --systems --only --scale --temporal-factor --model --weights "
        "--metrics --seed --output --cache --fresh --quiet"
    ),
    "train": "--debug --dry-run --tflops --quiet",
    "train index": "--debug --output --overwrite --quiet --licence --split --captions --shortest --longest --smallest "
    "--darkest --stillest --whole-files --moves --move-size --move-frames --parallax-share --rate --shard-size "
    "--workers",
    "train curves": "--debug --output",
    "doctor": "--debug",
}


WITH_SETTINGS = ("enhance", "plan", "fleet run", "fleet plan")
MOST_SHOWN = {"enhance": 16, "plan": 16, "fleet run": 32, "fleet plan": 24}
FULL = dict.fromkeys(WITH_SETTINGS, "--help-all")


def help_of(command: str, flag: str = "--help") -> str:
    """Return what `venhancer COMMAND --help` shows."""
    shown = StringIO()
    with redirect_stdout(shown), suppress(SystemExit):
        main([*command.split(), flag])
    return shown.getvalue()


def all_help() -> str:
    calls = [(command, "--help") for command in COMMANDS] + [(command, "--help-all") for command in WITH_SETTINGS]
    return "\n".join(
        f"$ venhancer {command} {flag}\n{help_of(command, flag)}".replace("  --help", " --help")
        for command, flag in calls
    )


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")


def test_flags_are_frozen():
    """A new flag is added here by hand; a flag that goes or changes its name breaks somebody's script."""
    for command, flags in FLAGS.items():
        invocations = re.findall(r"(?m)^  (-.*?)(?:  |$)", help_of(command, FULL.get(command, "--help")))
        found = [flag for invocation in invocations for flag in re.findall(r"--?[a-z][a-z-]*", invocation)]
        assert found == ["-h", "--help", *flags.split()], command


def test_short_help_shows_a_dozen_flags_and_the_full_one_every_setting():
    placed = [name for usual, rest in GROUPS.values() for name in (*usual, *rest)]
    assert sorted(placed) == sorted(EnhanceSettings.model_fields)
    for command in WITH_SETTINGS:
        shown = re.findall(r"(?m)^  (-.*?)(?:  |$)", help_of(command))
        assert len(shown) <= MOST_SHOWN[command]
        assert f"venhancer {command} --help-all" in help_of(command)


def test_help_is_as_it_was_last_read():
    """After a change on purpose: `COLUMNS=100 python tests/contracts/test_command_line.py`, and read the diff."""
    assert all_help() == HELP.read_text()


if __name__ == "__main__":
    HELP.write_text(all_help())
    sys.stdout.write(f"wrote {HELP}\n")
