"""VBench's totals are the paper's; folders and results in VBench's forms; VBench as a program."""

import json
import os
from pathlib import Path

import pytest

from evaluation.vbench_program import make_vbench
from venhancer.errors import InputError, JobFailed
from venhancer.evaluation.paper.protocol import load_protocol, paper_figures
from venhancer.evaluation.paper.vbench import (
    all_dimensions,
    dimensions,
    find_suite,
    measure_dimension,
    prompts_of,
    read_results,
    totals,
)

FIGURES = paper_figures(load_protocol("3"))
ROUNDING = 0.005
"""Half of the last digit that the paper gives, per cent."""


def scores_of(system: str) -> dict[str, float]:
    return {one.name: FIGURES[system][one.title] / 100 for one in all_dimensions().values()}


def reach_of_rounding(group: str) -> float:
    """How far a total can be off, per cent, when every dimension is off by half its last digit."""
    parts = dimensions()[group].values()
    weight = sum(part.weight for part in parts)
    return sum(part.weight * ROUNDING / (part.greatest - part.least) for part in parts) / weight


@pytest.mark.parametrize("system", FIGURES)
def test_the_papers_dimensions_give_the_papers_totals(system):
    """All fourteen totals agree within what rounding explains; the largest difference is 0.007 per cent."""
    found = totals(scores_of(system))
    for title, group in (("Quality", "quality"), ("Semantic", "semantic")):
        off = abs(100 * found[title] - FIGURES[system][title])
        assert off <= ROUNDING + reach_of_rounding(group)
        assert off <= 0.0075


def test_the_paper_has_sixteen_dimensions_of_seven_systems():
    assert len(FIGURES) == 7
    assert all(len(row) == 18 for row in FIGURES.values())
    assert len(all_dimensions()) == 16


def test_the_total_of_totals_counts_quality_four_times():
    found = totals(scores_of("Show-1"))
    assert found["Total"] == pytest.approx((4 * found["Quality"] + found["Semantic"]) / 5)


def test_a_total_needs_all_its_parts():
    scores = scores_of("Pika")
    del scores["scene"]
    assert totals(scores).keys() == {"Quality"}


def test_a_folder_is_read_by_prompt_and_number(tmp_path):
    for name in ("a dog-10.mp4", "a dog-2.mp4", "a well-lit room-0.mp4", "notes.mp4", "x.txt"):
        (tmp_path / name).write_bytes(b"")
    suite = find_suite(tmp_path)
    assert [file.name for file in suite.files] == ["a dog-2.mp4", "a dog-10.mp4", "a well-lit room-0.mp4"]
    assert suite.strays == ("notes.mp4",)
    with pytest.raises(InputError, match="is not a folder"):
        find_suite(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="has no videos named as VBench does"):
        find_suite(tmp_path / "empty")


def test_results_keep_means_and_videos(tmp_path):
    videos = [{"video_path": "v/a dog-0.mp4", "video_results": 60.0}, {"video_path": "b-0.mp4", "video_results": 40}]
    moving = [{"video_path": "a dog-0.mp4", "video_results": True}]
    content = {"imaging_quality": [0.5, videos], "dynamic_degree": [1.0, moving], "object_class": [0.9, [{"x": []}]]}
    (tmp_path / "r_eval_results.json").write_text(json.dumps(content))
    found = read_results([tmp_path / "r_eval_results.json"])
    assert found["imaging_quality"].by_video == {"a dog-0.mp4": 0.6, "b-0.mp4": 0.4}  # VBench leaves these per cent
    assert found["dynamic_degree"].by_video == {"a dog-0.mp4": 1.0}
    assert found["object_class"].mean == 0.9
    assert not found["object_class"].by_video
    (tmp_path / "r_eval_results.json").write_text("[1]")
    with pytest.raises(InputError, match="is not a results file of VBench"):
        read_results([tmp_path / "r_eval_results.json"])


def test_prompts_are_those_of_vbenchs_own_list(tmp_path):
    (tmp_path / "info.json").write_text(json.dumps([{"prompt_en": "a dog", "dimension": ["color", "scene"]}]))
    assert prompts_of(tmp_path / "info.json") == {"color": {"a dog"}, "scene": {"a dog"}}
    (tmp_path / "info.json").write_text("{}x")
    with pytest.raises(InputError, match=r"take VBench_full_info\.json"):
        prompts_of(tmp_path / "info.json")


EVALUATE = """
import argparse, json, pathlib
parser = argparse.ArgumentParser()
for name in ("videos_path", "dimension", "output_path", "mode"):
    parser.add_argument(f"--{name}", required=True)
parser.add_argument("--calls", default="calls")
words = parser.parse_args()
folder = pathlib.Path(words.output_path)
with open(pathlib.Path(words.videos_path).parent / "calls", "a") as file:
    file.write(words.dimension + " " + words.mode + chr(10))
if words.dimension == "scene":
    raise SystemExit("no network")
videos = [{"video_path": str(file), "video_results": 0.25} for file in pathlib.Path(words.videos_path).iterdir()]
(folder / "results_now_eval_results.json").write_text(json.dumps({words.dimension: [0.25, videos]}))
"""


@pytest.fixture
def vbench(tmp_path) -> Path:
    """The interpreter of an environment with this program."""
    return make_vbench(tmp_path / "python", EVALUATE)


@pytest.fixture
def videos(tmp_path) -> Path:
    (tmp_path / "vc2").mkdir()
    for number in range(2):
        (tmp_path / "vc2" / f"a dog-{number}.mp4").write_bytes(b"x" * number)
    return tmp_path / "vc2"


def test_a_dimension_is_measured_once_for_the_same_videos(vbench, videos, tmp_path):
    files = [measure_dimension(vbench, videos, "color", tmp_path / "kept") for _ in range(2)]
    assert files[0] == files[1]
    assert read_results(files)["color"].by_video == {"a dog-0.mp4": 0.25, "a dog-1.mp4": 0.25}
    assert (tmp_path / "calls").read_text() == "color vbench_standard\n"
    os.utime(videos / "a dog-0.mp4", (1, 1))
    measure_dimension(vbench, videos, "color", tmp_path / "kept")
    assert (tmp_path / "calls").read_text().count("color") == 2


def test_a_failure_of_vbench_says_its_last_line(vbench, videos, tmp_path):
    with pytest.raises(JobFailed, match="ended with 1"):
        measure_dimension(vbench, videos, "scene", tmp_path / "kept")
