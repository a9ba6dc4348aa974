"""What a fleet will have to do, told before it begins."""

import pytest

from media.clips import make_clip
from venhancer.cli.main import main
from venhancer.errors import InputError
from venhancer.fleet.forecast import forecast
from venhancer.fleet.manifest import read_manifest
from venhancer.model_files.traits import load_traits
from venhancer.plan import UNKNOWN_MACHINE
from venhancer.progress import SILENT
from venhancer.settings import parse_settings


@pytest.fixture
def clips(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(4):
        make_clip(folder / f"{number}.mp4", width=32, height=24, rate=8, frames=6)
    (folder / "broken.mov").write_text("no film")
    return folder


def look(sample: int):
    settings = parse_settings(scale=2, fps=16)
    items = read_manifest("in", "out", settings).items
    return forecast(items, settings, load_traits("nano"), UNKNOWN_MACHINE, sample=sample, progress=SILENT)


def test_frames_and_work_are_those_of_the_plans(clips):
    found = look(100)
    assert (found.clips, found.looked_at, found.frames) == (5, 5, 48)
    assert found.flops > 0
    assert found.memory > 0
    assert list(found.problems) == ["broken.mov"]
    rows = dict(found.rows(1e-3, [1, 2]))
    assert rows["clips"] == "5"
    assert "TFLOP in the networks" in rows["work"]
    assert "at 0.001 TFLOP/s each" in rows["2 workers"]


def test_some_clips_stand_for_all(clips):
    (clips / "broken.mov").unlink()
    found = look(2)
    assert (found.clips, found.looked_at, found.frames) == (4, 2, 48)
    assert dict(found.rows(None, [1]))["clips"] == "4, by 2 that were looked at"


def test_the_command(clips, capsys):
    main(["fleet", "plan", "in", "--scale", "2", "--tflops", "0.06", "--workers", "1,64"])
    shown = capsys.readouterr().out
    assert "output frames       24\n" in shown
    assert "64 workers" in shown
    assert not (clips.parent / "enhanced").exists()


def test_nothing_that_can_be_used(clips):
    for path in clips.glob("*.mp4"):
        path.unlink()
    with pytest.raises(InputError, match="none of 1 clips can be used"):
        look(9)
