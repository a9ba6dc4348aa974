"""Small pictures in every codec: a sample of `benchmarks/small_sizes.py`, which tries them all."""

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "small_sizes.py"
SIZES = ["16x16", "18x80", "24x34", "32x32", "40x46", "48x42", "48x64", "80x16"]


def test_small_pictures_come_back_whole_in_every_codec(tmp_path):
    """An encoder that writes beyond its memory ends the process that is given the size."""
    figures = tmp_path / "figures.json"
    command = [sys.executable, str(BENCHMARK), "--output", str(figures), "--sizes", *SIZES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    kinds = json.loads(figures.read_text())["kinds"]
    assert {kind: found["faults"] for kind, found in kinds.items() if found["faults"]} == {}
    assert {found["tried"] for found in kinds.values()} == {len(SIZES)}
    assert {kind.split()[0] for kind in kinds} >= {"h264", "hevc", "av1", "vp9", "prores", "ffv1", "gif", "webp", "png"}
    assert done.returncode == 0


def test_fault_is_told(tmp_path):
    """Pictures that differ more than allowed, and a size that ends the process."""
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); import small_sizes as it; it.CLOSE = 0;"
        "print(it.fault_of('h264', 'yuv420p', 16, 16, it.Path(sys.argv[2])))"
    )
    command = [sys.executable, "-c", code, str(BENCHMARK.parent), str(tmp_path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.startswith("off by ")
    figures = tmp_path / "figures.json"
    command = [
        sys.executable,
        str(BENCHMARK),
        "--output",
        str(figures),
        "--codecs",
        "gif",
        "--sizes",
        "nothing",
        "16x16",
    ]
    assert subprocess.run(command, capture_output=True, text=True, check=False).returncode == 1
    faults = json.loads(figures.read_text())["kinds"]["gif pal8"]
    assert faults == {"tried": 2, "faults": {"nothing": "ends the process with 1"}}
