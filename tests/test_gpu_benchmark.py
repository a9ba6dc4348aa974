"""What is run on a GPU that is lent for minutes runs here first, small and on a processor, so that it cannot rot."""

import json
import runpy
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
ELSEWHERE = {"compiled"}  # minutes on a processor; `tests/models/test_compile.py` compiles blocks


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    program, output = runpy.run_path(str(BENCHMARKS / "gpu.py")), tmp_path_factory.mktemp("gpu") / "gpu.json"
    cases = [name for name in program["CASES"] if name not in ELSEWHERE]
    program["main"](["--tiny", "--device", "cpu", "--output", str(output), "--cases", *cases])
    return json.loads(output.read_text())["cases"], output.with_suffix(".md").read_text()


def test_no_case_fails(found):
    cases, _ = found
    assert {name: case for name, case in cases.items() if "failed" in case or "left_out" in case} == {}


def test_golden_numbers_hold_and_short_numbers_are_coarser(found):
    errors = found[0]["parity"]
    assert errors["fp64_error"] < 2e-5
    assert errors["fp32_error"] < 2e-5 < errors["bf16_error"] < 0.5


def test_pipelines_make_all_frames_and_are_predicted(found):
    for size in found[0]["pipelines"].values():
        if isinstance(size, dict):
            assert size["frames"] == 6
            assert size["seconds_an_evaluation"] > 0 < size["predicted_seconds_an_evaluation"]


def test_presets_do_less_and_less(found):
    work = [case["tflop"] for case in found[0]["presets"].values() if isinstance(case, dict)]
    assert work == sorted(work, reverse=True)
    assert len(work) == 4


def test_operators_copies_and_waits_are_counted(found):
    operators = found[0]["operators"]
    assert len(operators["milliseconds"]) == 20
    assert operators["copies"]["aten::copy_"] > 0


def test_every_figure_is_in_the_table(found):
    cases, table = found
    assert table.startswith("processor, torch ")
    assert all(f"| {name} |" in table for name in cases)


def test_nothing_begins_when_time_is_up(tmp_path):
    program, output = runpy.run_path(str(BENCHMARKS / "gpu.py")), tmp_path / "gpu.json"
    words = ["--tiny", "--device", "cpu", "--minutes", "-1", "--output", str(output), "--cases", "rates"]
    program["main"](words)
    assert json.loads(output.read_text())["cases"] == {"rates": {"left_out": "no time was left"}}
