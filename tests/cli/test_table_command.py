"""`venhancer table` from words to files, and every wrong word in one line."""

import json
from fractions import Fraction

import numpy as np
import pytest

from venhancer.cli.main import main
from venhancer.evaluation.lossless import write_lossless


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in, with two lossless clips in `AIGC`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "AIGC").mkdir()
    for number, name in enumerate(("one", "two")):
        noise = np.random.default_rng(number).integers(0, 256, (48, 80, 3))
        smooth = sum(np.roll(noise, shift, axis) for shift in range(4) for axis in (0, 1)) // 8
        frames = np.stack([smooth[:, n : n + 64] for n in range(7)]).astype(np.uint8)
        write_lossless(tmp_path / "AIGC" / f"{name}.mkv", frames, Fraction(8))
    return tmp_path


def test_table_1_shows_what_it_measured_and_what_is_missing(folder, capsys):
    words = ["--clips", "AIGC", "--only", "bicubic,lavie-sr", "--metrics", "input_ssim,colour_drift", "--frames", "2"]
    main(["table", "1", *words, "--cache", "cache", "--output", "found"])
    shown = capsys.readouterr().out
    assert "input_ssim ↑" in shown
    assert "not run: LaVie-SR: get https://github.com/Vchitect/LaVie" in shown
    assert "wrote found/table-1.html, and .json, .md and .tex beside it" in shown
    told = json.loads((folder / "found" / "table-1.json").read_text())
    assert told["clips"] == ["one", "two"]
    assert "| bicubic, frames repeated |" in (folder / "found" / "table-1.md").read_text()


def test_an_appendix_is_a_study_laid_out_as_one(folder, tiny_model, capsys):
    words = ["--clips", "AIGC/one.mkv", "--model", str(tiny_model), "--frames", "2", "--metrics", "psnr"]
    main(["table", "a1", *words, "--cache", "cache", "--output", "found", "--scale", "2", "--temporal-factor", "1"])
    assert "noise 300" in capsys.readouterr().out
    assert {"studies.html", "noise.jpg"} <= {file.name for file in (folder / "found").iterdir()}


def test_systems_are_listed_as_ready_or_missing(folder, capsys):
    main(["table", "systems"])
    lines = {line.split("  ")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["nano"].endswith(": ready")
    assert "Apache-2.0: missing: get https://github.com/ByteDance-Seed/SeedVR" in lines["seedvr2"]


def test_table_3_needs_no_clips_and_says_what_it_lacks(folder, capsys):
    main(["table", "3", "--cache", "cache", "--output", "found"])
    shown = capsys.readouterr().out
    assert "not run: Gen-2: name a folder of its videos in --systems" in shown
    assert "[97.61]" in (folder / "found" / "table-3.md").read_text()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["5"], "table 5 is unknown; pass 1, 2, 3, 4, a1, a2, a3 or systems"),
        (["1"], "table 1 needs --clips: AIGC2023"),
        (["1", "--clips", "AIGC", "--only", "sora"], "unknown system sora"),
        (["1", "--clips", "AIGC", "--weights", "nowhere"], "nowhere is not a folder"),
        (["4", "--clips", "AIGC", "--set", "REDS"], "there are no figures for the set REDS"),
        (["3", "--videos", "nowhere"], "nowhere is not there"),
        (["3", "--shard", "3"], "shard 3 must be N/COUNT"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_word_is_answered_in_one_line(folder, capsys, words, told):
    with pytest.raises(SystemExit) as ended:
        main(["table", *words, "--cache", "cache", "--output", "found"])
    shown = capsys.readouterr()
    assert (ended.value.code, shown.out) == (2, "")
    assert told in shown.err
    assert shown.err.count("\n") == 1
