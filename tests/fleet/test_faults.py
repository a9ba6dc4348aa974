"""A short version of `benchmarks/fleet_faults.py`: runs and workers are killed, and nothing is lost."""

import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fleet.faults import Campaign, Troubles, full, is_clean, small_disk
from fleet.object_store import serve
from venhancer.fleet.stores import Store


def test_killed_runs_and_workers_lose_nothing(tmp_path):
    campaign = Campaign(tmp_path, items=60, chance=random.Random(0), options={"time_limit": 4}, pace=0.04)
    campaign.go(5, longest=0.8)
    verdict = campaign.verdict()
    assert is_clean(verdict), verdict
    assert sum(verdict["kills"].values()) > 0
    assert verdict["segments_repeated"] <= 5 * 2


def test_two_runs_with_killed_workers_lose_nothing(tmp_path):
    campaign = Campaign(tmp_path, items=60, chance=random.Random(1), options={"time_limit": 4}, drivers=2, pace=0.04)
    campaign.go(4, longest=0.8)
    verdict = campaign.verdict()
    assert is_clean(verdict), verdict


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    with ExitStack() as stack:
        try:
            yield stack.enter_context(small_disk(tmp_path / "scratch", "1m"))
        except OSError as error:
            pytest.skip(str(error))


@pytest.mark.filterwarnings("ignore")  # of botocore and the server, in their own threads
def test_a_full_disk_and_a_store_that_refuses_lose_nothing_while_workers_are_killed(tmp_path, disk, monkeypatch):
    pytest.importorskip("s3fs")
    options = {"scratch": str(disk), "time_limit": 60}
    with serve() as (refusals, environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        Store("s3://").fs.mkdir("clips")
        campaign = Campaign(
            tmp_path, 24, random.Random(2), options, pace=0.04, bucket="s3://clips", odd_words=("crash",)
        )
        kinds = {"disk full": lambda: full(disk), "store refuses": refusals.always}
        campaign.go(4, longest=0.5, other=Troubles(campaign, kinds, 0.8))
        verdict = campaign.verdict()
    assert is_clean(verdict), verdict
    assert {kill.split(":")[0] for kill in verdict["kills"]} == set(kinds), verdict
