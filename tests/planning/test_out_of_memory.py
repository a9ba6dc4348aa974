"""What happens when memory really runs out: in a process of its own, which may have only so much."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fleet.runs import Memory, environment_of_hands
from media.clips import make_clip
from short_memory import ENVIRONMENT, ROOM
from venhancer.fleet.fleet import open_fleet
from venhancer.fleet.local import LocalEngine
from venhancer.fleet.run import Policy
from venhancer.fleet.status import read_status
from venhancer.fleet.worker import Setup
from venhancer.settings import parse_settings

PROGRAM = """
import hashlib, json, os, signal, sys
from pathlib import Path
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # how many threads there are, and their stacks
import torch
from short_memory import addresses, limit_memory
from venhancer.enhance import enhance_as_planned, plan_video
from venhancer.errors import VEnhancerError
from venhancer.jobs.work import find_work, work_folder
from venhancer.plan import next_smaller
from venhancer.reports.plan_rows import describe_change
from venhancer.settings import parse_settings
from venhancer.weights import load_pipeline

torch.set_num_threads(1)
source, target, model = map(Path, sys.argv[1:4])
room, after, is_killed, is_measured = map(int, sys.argv[4:8])
pipeline = load_pipeline(model, dtype="fp32")
asked = parse_settings(**json.loads(sys.argv[8]), model=str(model))
plan = plan_video(source, asked, target)
said, segments = [], []
before = addresses("VmSize")

if is_measured:
    plans, peaks = [plan], []
    while smaller := next_smaller(plans[-1]):
        plans.append(smaller)
    for number, one in enumerate((plans[-1], plans[0])):  # what needs less first: peaks only rise
        enhance_as_planned(one, target.with_stem(f"measured_{number}"), pipeline)
        peaks.append(addresses("VmPeak") - before)
    print(json.dumps(peaks))
    sys.exit()

def look():
    files = sorted(work_folder(target).glob("segment_*"))
    segments.append([hashlib.sha256(file.read_bytes()).hexdigest() for file in files])
    if len(files) == after:
        limit_memory(room, before)
    return False

def tell(line):
    said.append(line)
    if is_killed:
        print(json.dumps({"said": said, "segments": segments, "choices": find_work(target).choices}), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

if after == 0 and room:
    limit_memory(room, before)
found = {"began": describe_change(plan), "said": said, "segments": segments}
try:
    report = enhance_as_planned(plan, target, pipeline, tell=tell, stop=look)
    found |= {"ended": describe_change(report.plan), "frames": report.plan.frames}
except VEnhancerError as error:
    found["error"] = f"{type(error).__name__}: {error}"
print(json.dumps(found))
"""
SETTINGS = {"scale": 4, "steps": 1, "shots": False, "window_frames": 3, "window_overlap": 1}


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", width=104, height=80, rate=8, frames=4)


@pytest.fixture(scope="module")
def longer(tmp_path_factory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clips") / "longer.mp4", width=104, height=80, rate=8, frames=10)


@pytest.fixture(scope="module")
def room(clip, tiny_model, tmp_path_factory) -> int:
    """Bytes that are enough for tiles and too few for whole pictures: half-way between what they take here."""
    folder = tmp_path_factory.mktemp("measured")
    tiles, whole = enhance_with(0, clip, folder / "out.mp4", tiny_model, measured=True)
    assert whole > 1.5 * tiles
    return (tiles + whole) // 2


def enhance_with(
    room: int, clip: Path, target: Path, model: Path, *, after: int = 0, killed: bool = False, measured: bool = False
) -> Any:
    """Enhance in a process that, after so many segments, may take `room` bytes of addresses more than before it began.

    Measured, it returns how many the smallest plan and the first one take.
    """
    numbers = room, after, int(killed), int(measured)
    command = [sys.executable, "-c", PROGRAM, *map(str, (clip, target, model, *numbers)), json.dumps(SETTINGS)]
    environment = environment_of_hands(ENVIRONMENT)
    finished = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (finished.returncode == -9) if killed else (finished.returncode == 0), finished.stderr[-2000:]
    return json.loads(finished.stdout.splitlines()[-1])


def test_smaller_plans_are_tried_until_one_fits(clip, tiny_model, room, tmp_path):
    found = enhance_with(room, clip, tmp_path / "out.mp4", tiny_model)
    assert found.get("frames") == 4, found
    assert (tmp_path / "out.mp4").exists()
    assert found["said"]
    assert all(line.startswith("memory ran out; resuming at frame 0 with ") for line in found["said"])


def test_when_nothing_fits_one_line_says_so(clip, tiny_model, tmp_path):
    found = enhance_with(20_000_000, clip, tmp_path / "out.mp4", tiny_model)
    assert "JobFailed: memory ran out" in found["error"], found
    assert not (tmp_path / "out.mp4").exists()


def test_what_is_written_stays_and_a_run_that_is_killed_goes_on_with_the_smaller_plan(
    longer, tiny_model, room, tmp_path
):
    """Memory is short from the second segment on; the process is killed when it has said what it goes on with."""
    target = tmp_path / "out.mp4"
    killed = enhance_with(room, longer, target, tiny_model, after=1, killed=True)
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


def test_a_worker_of_a_fleet_goes_on_with_a_smaller_plan_and_says_so(clip, tiny_model, room, tmp_path, monkeypatch):
    """One of two workers is short of memory, each gets a clip."""
    for name, value in environment_of_hands({**ENVIRONMENT, ROOM: str(room)}).items():
        monkeypatch.setenv(name, value)
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(clip, source / name)
    settings = parse_settings(**SETTINGS, model=str(tiny_model))
    fleet = open_fleet(str(source), str(out), settings)
    options = {"model": settings.model, "weights": fleet.weights, "dtype": "fp32"}
    setup = Setup(out=str(out), scratch=None, device="cpu", options=options)
    setups = [setup, replace(setup, craft="short_memory:ShortOfMemory")]
    watcher = Memory()
    states = fleet.run(lambda: LocalEngine(setups, time_limit=600), policy=Policy(), watcher=watcher)
    assert states == {"a.mp4": "done", "b.mp4": "done"}, watcher.told
    records = [json.loads((out / f"{name}.venhancer.json").read_text()) for name in states]
    assert [(record["output"]["frames"], record["tries"]) for record in records] == [(4, 1)] * 2
    plain, smaller = sorted((record["notes"] for record in records), key=len)
    assert plain == []
    assert smaller
    assert all(line.startswith("memory ran out; resuming at frame 0 with ") for line in smaller)
    assert read_status(fleet.out).counts["done"] == 2
