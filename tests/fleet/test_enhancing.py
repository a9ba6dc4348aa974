"""Workers with a real model: what memory they keep, and what they do when it runs out."""

import json
from dataclasses import replace

from fleet.runs import Memory, environment_of_hands
from fleet.short_memory import ENVIRONMENT
from media.clips import make_clip
from venhancer.fleet.fleet import open_fleet
from venhancer.fleet.local import LocalEngine
from venhancer.fleet.run import Policy
from venhancer.fleet.status import read_status
from venhancer.fleet.worker import Setup
from venhancer.settings import parse_settings


def test_a_worker_that_runs_out_of_memory_goes_on_with_a_smaller_plan_and_says_so(tiny_model, tmp_path, monkeypatch):
    """One of two workers is short of memory, each gets a clip."""
    for name, value in environment_of_hands(ENVIRONMENT).items():
        monkeypatch.setenv(name, value)
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for name in ("a.mp4", "b.mp4"):
        make_clip(source / name, width=104, height=80, rate=8, frames=4)
    settings = parse_settings(scale=4, steps=1, shots=False, window_frames=3, window_overlap=1, model=str(tiny_model))
    fleet = open_fleet(str(source), str(out), settings)
    options = {"model": settings.model, "weights": fleet.weights, "dtype": "fp32"}
    setup = Setup(out=str(out), scratch=None, device="cpu", options=options)
    setups = [setup, replace(setup, craft="fleet.short_memory:ShortOfMemory")]
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
