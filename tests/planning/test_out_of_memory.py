"""What happens when memory really runs out: in a process of its own, which may have only so much."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from media.clips import make_clip

PROGRAM = """
import json, resource, sys
from pathlib import Path
import torch
from venhancer.enhance import enhance_as_planned, plan_video
from venhancer.errors import VEnhancerError
from venhancer.settings import parse_settings
from venhancer.weights import load_pipeline

torch.set_num_threads(1)
source, target, model, room = *map(Path, sys.argv[1:4]), int(sys.argv[4])
pipeline = load_pipeline(model)
plan = plan_video(source, parse_settings(scale=4, steps=1, shots=False, model=str(model)))
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + room
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
said = []
try:
    report = enhance_as_planned(plan, target, pipeline, tell=said.append)
    print(json.dumps({"said": said, "tiles": len(report.plan.tiles), "frames": report.plan.frames}))
except VEnhancerError as error:
    print(json.dumps({"said": said, "error": f"{type(error).__name__}: {error}"}))
"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", width=160, height=120, rate=8, frames=4)


def enhance_with(room: int, clip: Path, target: Path, model: Path) -> dict:
    """Enhance in a process that may take `room` bytes of addresses more than it has with its model loaded."""
    command = [sys.executable, "-c", PROGRAM, *map(str, (clip, target, model, room))]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr[-2000:]
    return json.loads(finished.stdout.splitlines()[-1])


def test_smaller_plans_are_tried_until_one_fits(clip, tiny_model, tmp_path):
    found = enhance_with(240_000_000, clip, tmp_path / "out.mp4", tiny_model)
    assert found.get("frames") == 4, found
    assert (tmp_path / "out.mp4").exists()
    assert found["said"]
    assert all(line.startswith("memory ran out; going on from frame 0 with ") for line in found["said"])


def test_when_nothing_fits_one_line_says_so(clip, tiny_model, tmp_path):
    found = enhance_with(40_000_000, clip, tmp_path / "out.mp4", tiny_model)
    assert "JobFailed: memory ran out" in found["error"], found
    assert not (tmp_path / "out.mp4").exists()
