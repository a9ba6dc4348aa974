"""A film divided at its cuts over workers: the file is the one that a single worker makes, whatever happens."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from fleet.runs import Memory
from media.clips import make_clip
from venhancer.enhance import enhance_video, join_shares, make_share, plan_video
from venhancer.fleet.fleet import open_fleet
from venhancer.fleet.local import LocalEngine
from venhancer.fleet.run import Policy
from venhancer.fleet.shares import SHARES, divide
from venhancer.fleet.worker import Setup
from venhancer.settings import parse_settings
from venhancer.weights import load_pipeline

FRAMES = 36


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """As many threads as in the processes started here: their number changes the last bits."""
    threads, variable = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    yield
    torch.set_num_threads(threads)
    os.environ.pop("OMP_NUM_THREADS") if variable is None else os.environ.update(OMP_NUM_THREADS=variable)


@pytest.fixture(scope="module")
def settings(tiny_model):
    return parse_settings(model=str(tiny_model), scale=1)


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """Three shots of twelve frames, in grey of different brightness, with sound."""
    folder = tmp_path_factory.mktemp("film") / "in"
    folder.mkdir()
    y, x = np.mgrid[0:24, 0:32]
    pictures = []
    for number in range(FRAMES):
        shot = number // 12
        texture = 40 * np.sin((x + number) / 3 + shot) * np.cos(y / (2 + shot)) + (40, 128, 215)[shot]
        pictures.append(np.repeat(texture.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2))
    make_clip(folder / "film.mp4", width=32, height=24, frames=FRAMES, pictures=pictures, sound="aac")
    return folder / "film.mp4"


@pytest.fixture(scope="module")
def expected(film, settings, tmp_path_factory) -> bytes:
    """What one worker makes of it."""
    target = tmp_path_factory.mktemp("whole") / "film.mp4"
    enhance_video(film, target, load_pipeline(settings.model, device="cpu", dtype="fp32"), settings)
    return target.read_bytes()


def test_shares_joined_are_the_whole(film, settings, expected, tmp_path):
    pipeline = load_pipeline(settings.model, device="cpu", dtype="fp32")
    plan = plan_video(film, settings, machine=pipeline.machine, traits=pipeline.traits)
    division = divide(plan, 12)
    assert division is not None
    assert len(division.shares) == 3
    files = []
    for number, share in reversed(list(enumerate(division.shares))):
        folder = tmp_path / str(number)
        folder.mkdir()
        made, report = make_share(plan, folder / "film.mp4", pipeline, range(*share))
        files[:0] = made
        assert sum(len(segment.frames) for segment in report.plan.segments) == 12
    join_shares(plan, tmp_path / "film.mp4", files)
    assert (tmp_path / "film.mp4").read_bytes() == expected
    long = plan_video(film, settings.model_copy(update={"shots": False}), traits=pipeline.traits)
    with pytest.raises(ValueError, match="are not whole shots"):
        make_share(long, tmp_path / "film.mp4", pipeline, range(1, len(long.segments)))


def test_films_of_one_shot_or_little_length_are_not_divided(film, settings):
    traits = load_pipeline(settings.model, device="cpu").traits
    plan = plan_video(film, settings, traits=traits)
    assert divide(plan, 30) is None
    assert len(divide(plan, 18).shares) == 2
    assert divide(plan_video(film, settings.model_copy(update={"shots": False}), traits=traits), 3) is None


class KillingOnce(Memory):
    """Kills a worker at the first sign of work on a share."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = None

    def kill_one(self) -> bool:
        if self.engine is not None:
            for supervisor in self.engine.supervisors:
                if supervisor.process is not None and list(self.out.glob(f"{SHARES}/*/division.json")):
                    supervisor.process.kill()
                    self.engine = None
                    break
        return False


@pytest.mark.parametrize("is_killed", [False, True])
def test_workers_make_the_shares_and_the_last_joins_them(film, settings, expected, tmp_path, is_killed):
    out = tmp_path / "out"
    fleet = open_fleet(str(film.parent), str(out), settings)
    options = {"model": settings.model, "weights": fleet.weights, "dtype": "fp32"}
    setup = Setup(out=str(out), scratch=None, device="cpu", options=options)
    watcher = KillingOnce()
    watcher.out = out

    def engine():
        made = LocalEngine([setup] * 2, time_limit=120)
        watcher.engine = made if is_killed else None
        return made

    policy = Policy(share_frames=12)
    states = fleet.run(engine, policy=policy, watcher=watcher, stop=watcher.kill_one)
    assert states == {"film.mp4": "done"}
    assert (out / "film.mp4").read_bytes() == expected
    record = json.loads((out / "film.mp4.venhancer.json").read_text())
    assert [share["frames"] for share in record["shares"]] == [12, 12, 12]
    assert record["output"]["frames"] == FRAMES
    assert sorted(path.name for path in (out / ".venhancer-fleet").iterdir()) == ["job.json", "ledger"]
