"""`venhancer fleet run`: real clips, a real model and real workers; flags that do not go together are refused."""

import json
import sys
from pathlib import Path

import pytest

from media.clips import make_clip
from venhancer.cli.main import main
from venhancer.media.reading.probe import probe


@pytest.fixture
def clips(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(3):
        make_clip(folder / f"{number}.mp4", width=32, height=24, frames=4)
    (folder / "broken.mov").write_text("no film")
    (folder / "0.txt").write_text("a rabbit")
    return folder


def run(capsys, *words: str) -> tuple[int, str, str]:
    """Return how `venhancer fleet run` ends and what it shows."""
    try:
        main(["fleet", "run", *words])
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_clips_are_enhanced_by_two_workers(clips, tiny_model, capsys):
    words = ["in", "out", "--model", str(tiny_model), "--scale", "1", "--device", "cpu", "--workers", "2"]
    code, out, err = run(capsys, *words, "--metrics", "fleet.prom")
    assert code == 2
    assert {line.partition(" ")[0] for line in out.splitlines()} == {"0.txt:", "0.mp4:", "1.mp4:", "2.mp4:"}
    aside, last = err.splitlines()
    assert aside.startswith("venhancer: broken.mov: quarantined: in/broken.mov is damaged")
    assert last.startswith(
        "venhancer: 3 done, 1 quarantined, 1 skipped; `venhancer fleet status out` gives the reasons"
    )
    assert 'venhancer_fleet_clips{state="done"} 3\n' in Path("fleet.prom").read_text()
    record = json.loads(Path("out/0.mp4.venhancer.json").read_text())
    assert record["settings"]["prompt"] == "a rabbit"
    assert (record["seed"], record["tries"], record["size"], record["device"]) == (0, 1, [32, 24], "cpu")
    assert record["peak_memory_bytes"] > 10**7
    assert len(record["output"]["sha256"]) == len(record["input"]["sha256"]) == 64
    assert {weights["licence"] for weights in record["licences"]["weights"]} == {"not stated in the model's folder"}
    assert probe(Path("out/2.mp4")).frames == 4
    code, out, err = run(capsys, *words, "--seed", "1")
    assert "out holds the outputs of another job (seed 0 then and 1 now); choose another folder" in err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--gpus", "1"), "--gpus is for Ray; pass --engine ray"),
        (("--workers", "2-8"), "workers 2-8 is for Ray; pass --workers 8, or --engine ray"),
        (("--workers", "0"), "workers 0 must be a number above 0"),
        (("--workers", "8-2", "--engine", "ray"), "workers 8-2 must be a number above 0"),
        (("--engine", "ray", "--resources", "[1]"), "--resources is not a JSON object"),
        (("--shard", "4/4"), "shard 4/4 is invalid; pass --shard I/N"),
        (("--scael", "3"), "unknown flag --scael; did you mean --scale?"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(clips, capsys, words, reason):
    code, _, err = run(capsys, "in", "out", *words)
    assert code == 2
    assert reason in err
    assert err.count("\n") == 1


def test_other_systems_are_told_what_to_use(clips, capsys, monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    code, _, err = run(capsys, "in", "out")
    assert code == 2
    assert err.endswith("`venhancer fleet run` needs Linux or macOS; use `venhancer enhance FOLDER OUT` here\n")
