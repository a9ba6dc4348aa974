"""`venhancer study` from words to a report, and every wrong word in one line."""

import json

import numpy as np
import pytest

from media.clips import make_clip
from venhancer.cli.main import main


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in, with a lossless clip of 7 frames and what it shows beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clips").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (64, 104, 3))
    smooth = sum(np.roll(noise, shift, axis) for shift in range(4) for axis in (0, 1)) // 8
    pictures = [smooth[:, n : n + 96].astype(np.uint8) for n in range(7)]
    make_clip(
        tmp_path / "clips" / "hill.mkv", codec="ffv1", pixel_format="bgr0", pictures=pictures, width=96, height=64
    )
    (tmp_path / "clips" / "hill.txt").write_text("a hill\n")
    return tmp_path


@pytest.fixture
def study(folder, tiny_model):
    """Run a small study and return its JSON."""

    def run(*words: str) -> dict:
        quick = ["--model", str(tiny_model), "--frames", "4", "--crop", "64x48", "--scale", "2", "--cache", "cache"]
        main(["study", "clips", *quick, "--metrics", "psnr,sharpness", *words])
        return json.loads((folder / "studies" / "studies.json").read_text())

    return run


def test_studies_are_shown_and_written(study, folder, capsys):
    found = study("--studies", "guidance,seeds", "--values", "guidance=1,4")
    shown = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in shown if line.startswith(("guidance", "seed"))] == [
        *("guidance 1", "guidance 4", "seed 0", "seed 1")
    ]
    assert sum(line.startswith("Outputs differ by up to ") for line in shown) == 2
    assert shown[-1] == "wrote studies/studies.html and 7 files beside it"
    assert [one["name"] for one in found["studies"]] == ["guidance", "seeds"]
    assert found["prompts"] == {"hill": "a hill"}
    assert (folder / "studies" / "guidance.jpg").exists()


def test_the_same_words_give_the_same_files(study, folder):
    words = ("--studies", "noise", "--values", "noise=0,300", "--prompt", "a lake")
    first = study(*words)
    files = {file.name: file.read_bytes() for file in (folder / "studies").iterdir()}
    assert first["prompts"] == {"hill": "a lake"}
    assert study(*words, "--fresh") == first
    assert {file.name: file.read_bytes() for file in (folder / "studies").iterdir()} == files


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--studies", "guidence"], "unknown study 'guidence'"),
        (["--values", "words=1"], "must be different values from none, good"),
        (["--frames", "1"], "frames 1 must be 2 or more"),
        (["--temporal-factor", "9"], "temporal factor 9 must be a whole number from 1 to 8"),
        (["--scale", "9"], "scale 9.0 is above 8"),
        (["--seed", "-1"], "seed -1 is below 0"),
        (["--crop", "63x48"], "crop 63x48 has an odd side"),
        (["--crop", "640x480"], "hill of 96x64 is smaller than --crop 640x480"),
        (["--metrics", "beauty"], "unknown metric beauty"),
        (["--model", "missing"], "missing"),
        (["--start", "60"], "hill.mkv has 0 frames after 60 s"),
    ],
)
def test_wrong_words_are_refused_in_one_line(words, reason, folder, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["study", "clips", "--cache", "cache", *words])
    shown = capsys.readouterr()
    assert (ended.value.code, shown.out) == (2, "")
    assert shown.err.startswith("venhancer: ")
    assert shown.err.count("\n") == 1
    assert reason in shown.err
    assert not (folder / "cache").exists()
