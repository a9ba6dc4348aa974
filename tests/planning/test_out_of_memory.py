"""What happens when memory really runs out: in a process of its own, which may have only so much."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from media.clips import make_clip

PROGRAM = """
import hashlib, json, os, resource, signal, sys
from pathlib import Path
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # how many threads there are, and their stacks
import torch
from venhancer.enhance import enhance_as_planned, plan_video
from venhancer.errors import VEnhancerError
from venhancer.jobs.work import find_work, work_folder
from venhancer.reports.plan_rows import describe_change
from venhancer.settings import parse_settings
from venhancer.weights import load_pipeline

torch.set_num_threads(1)
source, target, model = map(Path, sys.argv[1:4])
room, after, is_killed = map(int, sys.argv[4:])
pipeline = load_pipeline(model, dtype="fp32")
asked = parse_settings(scale=4, steps=1, shots=False, window_frames=3, window_overlap=1, model=str(model))
plan = plan_video(source, asked, target)
said, segments = [], []

def limit_memory():
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + room
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))

def look():
    files = sorted(work_folder(target).glob("segment_*"))
    segments.append([hashlib.sha256(file.read_bytes()).hexdigest() for file in files])
    if len(files) == after:
        limit_memory()
    return False

def tell(line):
    said.append(line)
    if is_killed:
        print(json.dumps({"said": said, "segments": segments, "choices": find_work(target).choices}), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

if after == 0 and room:
    limit_memory()
found = {"began": describe_change(plan), "said": said, "segments": segments}
try:
    report = enhance_as_planned(plan, target, pipeline, tell=tell, stop=look)
    found |= {"ended": describe_change(report.plan), "frames": report.plan.frames}
except VEnhancerError as error:
    found["error"] = f"{type(error).__name__}: {error}"
print(json.dumps(found))
"""
# Freed blocks are given back at once and there is one heap: else it would hang on the machine what fits into a limit.
ROOM = 62_000_000
"""Bytes: too little for whole pictures, enough for tiles."""
ENVIRONMENT = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1048576", "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", width=104, height=80, rate=8, frames=4)


@pytest.fixture(scope="module")
def longer(tmp_path_factory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clips") / "longer.mp4", width=104, height=80, rate=8, frames=10)


def enhance_with(room: int, clip: Path, target: Path, model: Path, *, after: int = 0, killed: bool = False) -> dict:
    """Enhance in a process that, after so many segments, may take `room` bytes of addresses more than it has then."""
    command = [sys.executable, "-c", PROGRAM, *map(str, (clip, target, model, room, after, int(killed)))]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert (finished.returncode == -9) if killed else (finished.returncode == 0), finished.stderr[-2000:]
    return json.loads(finished.stdout.splitlines()[-1])


def test_smaller_plans_are_tried_until_one_fits(clip, tiny_model, tmp_path):
    found = enhance_with(ROOM, clip, tmp_path / "out.mp4", tiny_model)
    assert found.get("frames") == 4, found
    assert (tmp_path / "out.mp4").exists()
    assert found["said"]
    assert all(line.startswith("memory ran out; resuming at frame 0 with ") for line in found["said"])


def test_when_nothing_fits_one_line_says_so(clip, tiny_model, tmp_path):
    found = enhance_with(20_000_000, clip, tmp_path / "out.mp4", tiny_model)
    assert "JobFailed: memory ran out" in found["error"], found
    assert not (tmp_path / "out.mp4").exists()


def test_what_is_written_stays_and_a_run_that_is_killed_goes_on_with_the_smaller_plan(longer, tiny_model, tmp_path):
    """Memory is short from the second segment on; the process is killed when it has said what it goes on with."""
    target = tmp_path / "out.mp4"
    killed = enhance_with(ROOM, longer, target, tiny_model, after=1, killed=True)
    (line,) = killed["said"]
    assert re.match(r"memory ran out; resuming at frame [1-9]\d* with 4 tiles", line)
    assert killed["choices"]["smaller"] == 1
    ((first,),) = killed["segments"]

    found = enhance_with(0, longer, target, tiny_model, after=-1)
    assert line.endswith(found["began"])
    assert found["ended"] == found["began"]
    assert found["said"] == []
    assert found["frames"] == 10
    assert [files[0] for files in found["segments"]] == [first]
