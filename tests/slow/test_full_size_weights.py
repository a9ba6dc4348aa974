"""A checkpoint of the published size goes through conversion, loading and one run within its memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "full_size_weights.py"


@pytest.mark.slow
def test_published_size_within_its_memory(tmp_path: Path):
    result = tmp_path / "figures.json"
    command = [sys.executable, BENCHMARK, "--folder", tmp_path / "full", "--result", result]
    subprocess.run(command, check=True)
    stages = {figures["stage"]: figures for figures in json.loads(result.read_text())}
    assert stages["make"]["tensors"] == 2180
    assert stages["make"]["parameters"] == 2_044_809_796
    checkpoint = stages["convert"]["checkpoint_GiB"]
    assert stages["convert"]["peak_GiB"] < checkpoint + 1
    assert stages["convert"]["peak_own_GiB"] < 1
    assert stages["load"]["peak_own_GiB"] < 1.5
    assert stages["run"]["prediction_std"] > 0
