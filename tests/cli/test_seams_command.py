"""`venhancer seams` on outputs of a real model, and every wrong file in one line."""

import json

import numpy as np
import pytest

from media.clips import make_clip
from venhancer.cli.main import main
from venhancer.enhance import plan_video
from venhancer.evaluation.joins import enlarged_input
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import FrameReader
from venhancer.settings import parse_settings


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_model):
    """A clip that moves, what became of it in several windows, and the report."""
    noise = np.random.default_rng(0).integers(0, 256, (48, 96, 3))
    smooth = sum(np.roll(noise, shift, axis) for shift in range(4) for axis in (0, 1)) // 8
    pictures = [smooth[:, n : n + 64].astype(np.uint8) for n in range(9)]
    folder = tmp_path_factory.mktemp("made")
    source = make_clip(folder / "in.mkv", codec="ffv1", pixel_format="bgr0", rate=8, pictures=pictures)
    target, report = folder / "out.mp4", folder / "report.json"
    asked = ["--scale", "2", "--fps", "16", "--window-frames", "6", "--window-overlap", "2", "--steps", "2"]
    main(["enhance", *map(str, (source, target)), "--model", str(tiny_model), *asked, "--json", str(report), "--quiet"])
    return source, target, report


def test_joins_of_an_output_are_told(made, capsys):
    source, target, report = made
    main(["seams", str(target), str(source), "--report", str(report)])
    shown = capsys.readouterr().out
    assert "windows, change" in shown
    assert "times elsewhere (95 %: " in shown
    assert "largest drift of a segment" in shown
    main(["seams", str(target), str(source), "--report", str(report), "--json"])
    told = json.loads(capsys.readouterr().out)
    low, high = told["seams"]["windows"]["change"]["bounds"]
    assert low <= told["seams"]["windows"]["change"]["ratio"] <= high
    assert told["colour"]["largest drift of a segment"] > 0


def test_the_control_holds_the_input_where_it_is(made):
    source, target, report = made
    plan = plan_video(source, parse_settings(**json.loads(report.read_text())["plan"]["settings"]))
    with FrameReader(plan.clip) as reader:
        frames = list(enlarged_input(plan, reader.read))
    with FrameReader(plan.clip) as reader:
        inputs = list(reader.read(range(plan.clip.frames)))
    assert len(frames) == plan.frames == probe(target).frames
    for number, frame in enumerate(frames):
        if plan.is_key[number]:
            small = frame.reshape(plan.height // 2, 2, plan.width // 2, 2, 3).mean(axis=(1, 3))
            assert np.abs(small - inputs[plan.source[number]]).mean() < 6
    assert not np.array_equal(frames[0], frames[1])  # moved


def test_files_that_do_not_belong_together_are_refused(made, tmp_path, capsys):
    source, target, report = made
    (tmp_path / "other.json").write_text("{}")
    (tmp_path / "broken.json").write_text("{")
    for words, reason in (
        ((source, source, "--report", report), "pass its own report"),
        ((target, source, "--report", tmp_path / "other.json"), "is not a report"),
        ((target, source, "--report", tmp_path / "broken.json"), "cannot be read"),
        ((target, source, "--report", tmp_path / "none.json"), "cannot be read"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["seams", *map(str, words)])
        shown = capsys.readouterr()
        assert (ended.value.code, shown.out, shown.err.count("\n")) == (2, "", 1)
        assert reason in shown.err
