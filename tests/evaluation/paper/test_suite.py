"""Table 3 from folders of videos: by VBench, by files it wrote, or by this package as far as it measures the same."""

import json
from fractions import Fraction

import numpy as np
import pytest

from venhancer.errors import SettingsError
from venhancer.evaluation.lossless import write_lossless
from venhancer.evaluation.paper.protocol import load_protocol, paper_figures
from venhancer.evaluation.paper.report import tables_of, to_json
from venhancer.evaluation.paper.suite import SuiteSettings, fill_suite, parse_results, parse_shard
from venhancer.evaluation.paper.systems import load_systems
from venhancer.evaluation.paper.vbench import all_dimensions

PROTOCOL = load_protocol("3")
FIGURES = paper_figures(PROTOCOL)


@pytest.fixture
def systems(tmp_path):
    return load_systems(None, tmp_path)


def test_results_that_vbench_wrote_give_all_dimensions_and_both_totals(systems, tmp_path):
    paper = FIGURES["Pika"]
    content = {one.name: [paper[one.title] / 100, []] for one in all_dimensions().values()}
    (tmp_path / "pika_eval_results.json").write_text(json.dumps(content))
    results = parse_results([f"pika={tmp_path / 'pika_eval_results.json'}"], systems)
    table = fill_suite(PROTOCOL, systems, SuiteSettings(records=tmp_path, results=results), FIGURES)
    cells = next(row.cells for row in table.rows if row.name == "pika")
    assert len(cells) == 18
    assert all(abs(cell.difference) <= 0.0075 for cell in cells.values())
    missing = {row.name: row.missing for row in table.rows}
    assert missing["pika"] == ""
    assert missing["gen-2"].startswith("name a folder of its videos")
    (shown,) = tables_of(table)
    assert (shown.title, shown.header) == ("Pika", ("dimension", "paper", "measured", "difference", "95 %"))
    assert shown.rows[0][:3] == ("Subject Consistency", "96.76", "96.76")
    assert shown.rows[-2][:2] == ("Quality", "82.68")
    assert to_json(table)["rows"][3]["cells"]["Semantic"]["paper"] == 71.26


def test_without_vbench_flicker_is_measured_here_on_its_own_prompts(systems, tmp_path):
    folder = tmp_path / "vc2"
    folder.mkdir()
    for prompt, change in (("a still frame", 1), ("a dog", 51)):
        for number in range(2):
            frames = np.zeros((2, 16, 16, 3), np.uint8)
            frames[1] = change + number
            write_lossless(folder / f"{prompt}-{number}.mp4", frames, Fraction(8))
    (folder / "a dog-2.mp4").write_bytes(b"no video")
    (tmp_path / "info.json").write_text(
        json.dumps([{"prompt_en": "a still frame", "dimension": ["temporal_flickering"]}])
    )
    settings = SuiteSettings(records=tmp_path / "kept", prompts=tmp_path / "info.json")
    places = systems.with_videos({"videocrafter-2": folder})
    table = fill_suite(PROTOCOL, places, settings, FIGURES)
    cells = next(row.cells for row in table.rows if row.name == "videocrafter-2")
    assert cells["Temporal Flickering"].measured.mean == pytest.approx(100 - 100 * 1.5 / 255, abs=1e-4)
    assert cells["Temporal Flickering"].paper == 98.41
    assert cells["Quality"].measured is None
    assert "VideoCrafter-2: Temporal Flickering by this package, over 2 of 2 videos" in table.notes
    assert any(line.startswith("VideoCrafter-2: not scored: a dog-2.mp4 (vbench_flicker): ") for line in table.notes)
    assert "VideoCrafter-2: 1 video not scored: --retry-quarantined tries again" in "; ".join(table.notes)
    assert any("all sixteen dimensions need vbench/bin/python" in line for line in table.notes)

    of_all = fill_suite(PROTOCOL, places, SuiteSettings(records=tmp_path / "kept"), FIGURES)  # nothing is left to do
    assert "VideoCrafter-2: Temporal Flickering by this package, over 4 of 5 videos" in of_all.notes


def test_a_shard_says_that_others_are_missing(systems, tmp_path):
    folder = tmp_path / "vc2"
    folder.mkdir()
    for number in range(2):
        write_lossless(folder / f"a dog-{number}.mp4", np.zeros((2, 16, 16, 3), np.uint8), Fraction(8))
    settings = SuiteSettings(records=tmp_path / "kept", shard=(1, 2))
    table = fill_suite(PROTOCOL, systems.with_videos({"videocrafter-2": folder}), settings, FIGURES)
    assert "over 1 of 2 videos; run the command again, or its other shards, for the rest" in "; ".join(table.notes)


def test_words_that_mean_nothing_are_refused(systems):
    assert parse_shard("2/8") == (2, 8)
    for text in ("0/8", "9/8", "a/b", "2"):
        with pytest.raises(SettingsError, match="must be N/COUNT, such as 2/8"):
            parse_shard(text)
    with pytest.raises(SettingsError, match="must be SYSTEM=PATH"):
        parse_results(["pika=nowhere"], systems)
    with pytest.raises(SettingsError, match="unknown system sora"):
        parse_results(["sora=."], systems)
