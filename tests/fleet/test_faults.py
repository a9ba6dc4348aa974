"""A short version of `benchmarks/fleet_faults.py`: runs and workers are killed, and nothing is lost."""

import random

from fleet.faults import Campaign, is_clean


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
