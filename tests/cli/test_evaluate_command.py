"""`venhancer evaluate` from words to a report, and every wrong word in one line."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from media.clips import make_clip
from venhancer.cli.main import main


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder to work in, with two lossless clips in `clips`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clips").mkdir()
    for number, name in enumerate(("one", "two")):
        noise = np.random.default_rng(number).integers(0, 256, (48, 80, 3))
        smooth = sum(np.roll(noise, shift, axis) for shift in range(4) for axis in (0, 1)) // 8
        pictures = [smooth[:, n : n + 64].astype(np.uint8) for n in range(7)]
        path = tmp_path / "clips" / f"{name}.mkv"
        make_clip(path, codec="ffv1", pixel_format="bgr0", pictures=pictures)
    return tmp_path


@pytest.fixture
def refusal(folder, capsys):
    """Run words that must be refused in one line, before anything is written."""

    def refuse(*words: object) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["evaluate", *map(str, words), "--cache", "cache"])
        shown = capsys.readouterr()
        assert (ended.value.code, shown.out) == (2, "")
        assert shown.err.startswith("venhancer: ")
        assert shown.err.count("\n") == 1
        assert not (folder / "cache").exists()
        return shown.err

    return refuse


SMALL = ("--scale", "2", "--temporal-factor", "2", "--cache", "cache", "--metrics", "psnr,frame_difference_error")


def test_models_baselines_and_programs_in_one_table(folder, tiny_model, capsys):
    words = ["clips", "--contenders", "bicubic+repeat,lanczos+blend", "--model-folder", str(tiny_model), *SMALL]
    main(["evaluate", *words, "--baseline", "copy=cp {input} {output}", "--output", "found"])
    shown = capsys.readouterr()
    rows = {line.split()[0]: line.split()[1:] for line in shown.out.splitlines()}
    assert [*rows][:6] == ["contender", "bicubic+repeat", "lanczos+blend", "tiny", "copy", "truth"]
    assert rows["copy"] == ["-"] * 3
    assert rows["truth"][:2] == ["100.00", "0.00"]
    assert "copy failed: it made 4 frames of 32x24, not 7 frames of 64x48" in shown.err
    told = json.loads((folder / "found" / "report.json").read_text())
    assert float(rows["tiny"][0]) == pytest.approx(told["means"]["tiny"]["psnr"], abs=0.01)
    assert told["setting"]["kernel"] == "bicubic"
    assert sorted(file.name for file in (folder / "found").iterdir()) == ["report.html", "report.json", "report.md"]


def test_without_a_truth(folder, capsys):
    words = [
        "clips/one.mkv",
        "--contenders",
        "lanczos+blend",
        "--no-reference",
        "--scale",
        "2",
        "--temporal-factor",
        "2",
    ]
    main(["evaluate", *words, "--cache", "cache", "--metrics", "input_ssim,vbench_flicker"])
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()}
    assert float(rows["lanczos+blend"][0]) > 0.95
    assert rows["input"][-1] == "-"


def test_nothing_to_restore_means_no_truth(folder, capsys):
    main(
        [
            "evaluate",
            "clips",
            "--contenders",
            "bicubic+repeat",
            "--scale",
            "1",
            "--temporal-factor",
            "1",
            "--cache",
            "c",
        ]
    )
    shown = capsys.readouterr().out
    assert "psnr" not in shown
    assert "input_ssim" in shown


def test_when_all_fail_so_does_the_command(folder, capsys):
    words = ["clips", "--contenders", "", "--baseline", "mine=false {input} {output}", *SMALL]
    with pytest.raises(SystemExit):
        main(["evaluate", *words])
    assert capsys.readouterr().err.splitlines() == [
        "venhancer: mine failed: false ended with 1: no message",
        "venhancer: all contenders failed; see above and report/report.html",
    ]


def test_wrong_words_are_refused(refusal, folder):
    make_clip(folder / "short.mkv", frames=3)
    assert "none.mp4 does not exist; pass video files or folders of them" in refusal("none.mp4")
    (folder / "empty").mkdir()
    assert "empty contains no clips" in refusal("empty")
    assert "short.mkv has 3 frames; temporal factor 3 needs 4 or more" in refusal("short.mkv")
    assert "unknown contender 'nanoo'" in refusal("clips", "--contenders", "nanoo")
    assert "contenders none: pass one or more" in refusal("clips", "--contenders", ",")
    assert "each with its own name" in refusal("clips", "--contenders", "lanczos+blend,lanczos+blend")
    assert "unknown metric sharp; there are psnr" in refusal("clips", "--metrics", "sharp")
    assert "psnr cannot be measured: it needs the true frames" in refusal(
        "clips", "--metrics", "psnr", "--no-reference"
    )
    assert "lpips cannot be measured: it needs lpips in the folder --weights" in refusal("clips", "--metrics", "lpips")
    assert "no.pth contains no weights" in refusal("clips", "--lpips-weights", "no.pth")
    assert "scale 9 and temporal factor 3 must both" in refusal("clips", "--scale", 9)
    assert "crf 99 is out of bounds" in refusal("clips", "--input-crf", 99)
    assert "omit --input-noise and --input-crf" in refusal("clips", "--no-reference", "--input-noise", 3)
    assert "frames 0 must be 1 or more" in refusal("clips", "--frames", 0)
    assert "program nothing-here was not found" in refusal("clips", "--baseline", "a=nothing-here {input} {output}")
    (folder / "file").write_text("")
    assert "--output file is not writable" in refusal("clips", "--output", "file")


def test_an_unknown_kernel_is_refused_outside_of_tests_too(folder):
    """In its own process, where no annotation is checked."""
    words = [sys.executable, "-m", "venhancer", "evaluate", "clips", "--kernel", "cubic"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "venhancer: kernel cubic is unknown; choose area, bicubic, bilinear, lanczos\n"
