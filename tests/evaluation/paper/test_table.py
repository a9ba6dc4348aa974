"""Tables filled on tiny clips by real systems: paper | measured | difference, what is not run, and four files."""

import json
import re
from fractions import Fraction

import numpy as np
import pytest

from venhancer.errors import SettingsError
from venhancer.evaluation.cache import Cache
from venhancer.evaluation.clips import TestClip
from venhancer.evaluation.lossless import write_lossless
from venhancer.evaluation.paper.protocol import load_protocol, paper_figures
from venhancer.evaluation.paper.report import pictures_of, shortfalls, tables_of, write_table
from venhancer.evaluation.paper.systems import load_systems
from venhancer.evaluation.paper.table import Choice, choose_measures, fill_table, find_table_clips
from venhancer.evaluation.tables import as_lines

BICUBIC = Choice(systems=("bicubic", "ffmpeg", "lavie-sr", "zooming-slow-mo"), metrics=("input_ssim", "dover"))


def clip(name: str, frames: int, seed: int) -> TestClip:
    noise = np.random.default_rng(seed).integers(0, 256, (48, 90, 3))
    smooth = sum(np.roll(noise, (down, across), (0, 1)) for down in range(4) for across in range(4)) // 16
    moving = np.stack([smooth[:, n : n + 64] for n in range(frames)]).astype(np.uint8)
    return TestClip(name=name, rate=Fraction(24), load=lambda: moving)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Table 1 of two clips, with two systems and a metric that can be had."""
    folder = tmp_path_factory.mktemp("table")
    protocol, clips = load_protocol("1"), [clip("a", 2, 0), clip("b", 2, 1), clip("c", 2, 2)]
    cache = Cache(folder / "cache")
    systems = load_systems(None, folder)
    figures = {"LaVie-SR": {"DOVER": 0.8427}, "bicubic, frames repeated": {"input_ssim": 0.9}}
    table, found = fill_table(protocol, clips, systems, BICUBIC, figures=figures, cache=cache)
    return table, found, clips, cache


def test_rows_that_run_are_measured_and_the_others_say_what_is_missing(small):
    table, *_ = small
    rows = {row.name: row for row in table.rows}
    assert list(rows) == ["lavie-sr", "ffmpeg", "bicubic", "zooming-slow-mo", "input"]
    assert rows["lavie-sr"].missing.startswith("get https://github.com/Vchitect/LaVie")
    assert rows["lavie-sr"].cells["DOVER"].paper == 0.8427
    assert rows["lavie-sr"].cells["DOVER"].measured is None
    cell = rows["bicubic"].cells["input_ssim"]
    assert cell.difference == pytest.approx(cell.measured.mean - 0.9)
    assert cell.measured.low <= cell.measured.mean <= cell.measured.high
    assert rows["bicubic"].seconds is not None
    assert rows["input"].cells["input_ssim"].measured.mean == pytest.approx(cell.measured.mean)


def test_what_is_not_run_and_not_measured_is_told_with_where_to_get_it(small):
    lines = shortfalls(small[0])
    assert any(line.startswith("not run: LaVie-SR: get https://github.com/Vchitect/LaVie") for line in lines)
    assert any(line.startswith("not measured: DOVER: it needs DOVER.pth in the folder --weights") for line in lines)
    assert any("size rule: x4" in line for line in small[0].notes)


def test_a_terminal_shows_paper_measured_and_difference(small):
    (shown,) = tables_of(small[0])
    assert shown.header == ("system", "paper", "measured", "difference", "95 %", "s/clip")
    rows = {line.split("  ")[0]: line for line in as_lines(shown)}
    assert re.search(r"0\.9000 +0\.\d{4} +[+-]0\.\d{4} +\[0\.\d{4}, 0\.\d{4}\]", rows["bicubic, frames repeated"])
    assert rows["LaVie-SR"].split() == ["LaVie-SR", "-", "-", "-", "-", "-"]


def test_four_files_hold_the_table(small, tmp_path):
    table, found, clips, cache = small
    files = write_table(tmp_path, table, pictures_of(found, clips, cache))
    assert [file.name for file in files] == ["table-1.json", "table-1.md", "table-1.tex", "table-1.html"]
    told, markdown, latex, page = (file.read_text() for file in files)
    content = json.loads(told)
    assert content["rows"][0]["cells"]["DOVER"] == {"paper": 0.8427, "difference": None, "measured": None, "lead": None}
    assert content["protocol"]["size_rule"] == "x4 of each clip's own size"
    assert "| LaVie-SR | [0.8427] | - |" in markdown
    assert "- not run: LaVie-SR: get " in markdown
    assert latex.count(r"\\") == 6
    assert r"input\_ssim $\uparrow$" in latex
    assert page.count("<img") == 2 * 3
    assert not re.findall(r"(?:src|href)=\"(?!data:)|https?://[^ <)]*\"|<script", page)


def test_scores_at_the_best_shift_stand_beside_the_plain_ones(tmp_path):
    """A system that lies a pixel aside: poor as it is, perfect at the best shift."""
    protocol = load_protocol("4")
    clips = [clip(name, 3, seed) for seed, name in enumerate("ab")]
    systems = load_systems(None, tmp_path)
    (tmp_path / "made").mkdir()
    for one in clips:
        write_lossless(tmp_path / "made" / f"{one.name}.mkv", np.roll(one.load(), 1, axis=2), one.rate)
    systems = systems.with_videos({"diffst": tmp_path / "made"})
    choice = Choice(systems=("diffst", "bicubic"), metrics=("psnr", "psnr_shifted"))
    table, _ = fill_table(
        protocol, clips, systems, choice, figures=paper_figures(protocol, "UDM10"), cache=Cache(tmp_path / "cache")
    )
    rows = {row.name: row.cells for row in table.rows}
    assert rows["diffst"]["psnr, best shift"].measured.mean == 100
    assert rows["diffst"]["PSNR"].measured.mean < 35
    assert rows["diffst"]["PSNR"].paper == 24.92
    assert rows["truth"]["PSNR"].measured.mean == 100
    assert any("best shift: one a clip" in line for line in table.notes)


def test_others_are_compared_with_ours_clip_by_clip(tmp_path, tiny_model):
    protocol = load_protocol("1").model_copy(update={"ours": ("nano",)})
    file = tmp_path / "own.yaml"
    file.write_text(json.dumps({"nano": {"contender": str(tiny_model)}}))
    clips = [clip(name, 2, seed) for seed, name in enumerate("abc")]
    choice = Choice(systems=("nano", "bicubic"), metrics=("input_ssim",))
    table, _ = fill_table(
        protocol, clips, load_systems(file, tmp_path), choice, figures={}, cache=Cache(tmp_path / "cache")
    )
    rows = {row.name: row.cells["input_ssim"] for row in table.rows}
    assert table.ours == "nano"
    assert rows["nano"].lead is None
    lead = rows["bicubic"].measured.mean - rows["nano"].measured.mean
    assert rows["bicubic"].lead.mean == pytest.approx(lead)
    (shown,) = tables_of(table)
    assert shown.header[5] == "less nano, 95 %"


def test_a_system_that_fails_is_told_of_and_the_others_are_measured(tmp_path):
    (tmp_path / "made").mkdir()
    systems = load_systems(None, tmp_path).with_videos({"star": tmp_path / "made"})
    choice = Choice(systems=("star", "bicubic"), metrics=("input_ssim",))
    table, _ = fill_table(
        load_protocol("1"), [clip("a", 2, 0)], systems, choice, figures={}, cache=Cache(tmp_path / "cache")
    )
    rows = {row.name: row for row in table.rows}
    assert "failed: " in rows["star"].missing
    assert "does not contain a; name its videos like the clips" in rows["star"].missing
    assert rows["bicubic"].cells["input_ssim"].measured is not None


def test_another_factor_than_the_protocols_is_told_of(tmp_path):
    choice = Choice(systems=("bicubic",), metrics=("psnr",), scale=2)
    table, _ = fill_table(
        load_protocol("4"), [clip("a", 3, 0)], load_systems(None, tmp_path), choice, figures={}, cache=Cache(tmp_path)
    )
    assert any("asked for scale 2 and temporal factor 2, not the protocol's" in line for line in table.notes)


def test_all_columns_are_there_and_those_absent_say_why():
    measures = choose_measures(load_protocol("4"), Choice())
    assert list(measures)[:9] == ["PSNR", "SSIM", "LPIPS", "DISTS", "MUSIQ", "DOVER", "tOF", "tLP", "FloLPIPS"]
    assert measures["CLIP-IQA"].missing == "not among the metrics here"
    assert measures["PSNR"].missing == ""
    with pytest.raises(SettingsError, match="unknown metric beauty"):
        choose_measures(load_protocol("4"), Choice(metrics=("beauty",)))


def test_nothing_to_run_or_to_measure_is_refused(tmp_path):
    systems = load_systems(None, tmp_path)
    for choice in (Choice(systems=("lavie-sr",)), Choice(systems=("bicubic",), metrics=("dover",))):
        with pytest.raises(SettingsError, match=r"nothing can be measured: (lavie-sr: get|DOVER: it needs)"):
            fill_table(load_protocol("1"), [clip("a", 2, 0)], systems, choice, figures={}, cache=Cache(tmp_path))


def test_clips_are_read_and_cropped(tmp_path):
    write_lossless(tmp_path / "a.mkv", clip("a", 6, 0).load(), Fraction(8))
    protocol = load_protocol("4")
    (one,) = find_table_clips(protocol, Choice(), [tmp_path], frames=6, start=0, crop="32x16")
    assert one.load().shape == (5, 16, 32, 3)
    with pytest.raises(SettingsError, match="crop 36x16 must have sides that are multiples of 8"):
        find_table_clips(protocol, Choice(), [tmp_path], frames=6, start=0, crop="36x16")
