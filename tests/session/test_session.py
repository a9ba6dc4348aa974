"""A session's frames are a file's, and its memory does not grow with what is pushed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from media.clips import make_clip, picture
from tiny_model import make_tiny_model
from venhancer.enhance import enhance_video
from venhancer.errors import SettingsError
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import read_frames
from venhancer.settings import parse_settings
from venhancer.weights import load_pipeline

GROWTH = """
import resource, sys
import numpy as np
from venhancer.weights import load_pipeline
pipeline = load_pipeline(sys.argv[1], device="cpu", dtype="fp32")
frame = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
peaks = []
for count in (20, 20, 1500):
    with pipeline.session(96, 64, 24, scale=1, shots=False) as session:
        for _ in range(count):
            session.push(frame)
        for number, _ in enumerate(session.flush()):
            if number == 40:
                break
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(peaks[2] - peaks[1])
"""


@pytest.fixture(scope="module")
def pipeline(tiny_model):
    return load_pipeline(str(tiny_model), device="cpu", dtype="fp32")


def test_frames_pushed_one_by_one_become_those_of_a_file(pipeline, tmp_path):
    shots = [picture(number, 32, 24) for number in range(20)] + [255 - picture(9, 32, 24)] * 12
    source = make_clip(
        tmp_path / "in.mkv", width=32, height=24, rate=12, codec="ffv1", pixel_format="bgr0", pictures=shots
    )
    frames = list(read_frames(probe(source)))
    asked = {"scale": 2, "fps": 24, "color_fix": "wavelet"}
    settings = parse_settings(**asked, codec="ffv1", pix_fmt="bgr0")
    report = enhance_video(source, tmp_path / "out.mkv", pipeline, settings)
    assert len(report.plan.shots) > 1
    expected = np.stack(list(read_frames(probe(tmp_path / "out.mkv"))))
    with pipeline.session(32, 24, 12, **asked) as session:
        for frame in frames[:7]:
            session.push(frame)
        session.push(np.stack(frames[7:]))
        first = np.stack(list(session.flush()))
        for frame in frames:
            session.push(frame)
        again = np.stack(list(session.flush()))
    assert first.shape == (64, 48, 64, 3)
    assert np.array_equal(first, expected)
    assert np.array_equal(again, expected)


@pytest.mark.parametrize("flat", [False, True])
def test_frames_that_are_settled_come_before_the_last_is_pushed(tmp_path, flat):
    pipeline = load_pipeline(str(make_tiny_model(tmp_path / "model", flat=flat)), device="cpu", dtype="fp32")
    asked = {"scale": 1, "fps": 12, "shots": False, "window_frames": 6, "window_overlap": 2}
    frames = np.stack([picture(number, 32, 24) for number in range(24)])
    made, early = [], []
    with pipeline.session(32, 24, 8, frames=24, **asked) as session:
        for frame in frames:
            session.push(frame)
            made += session.settled()
            early.append(len(made))
        assert list(session.flush()) == []
    assert 0 == early[0] < early[12] < early[20] < early[23] == 36
    assert np.array_equal(np.stack(made), pipeline(frames, source_fps=8, **asked))


def test_a_number_of_frames_that_does_not_come_true_is_refused(pipeline):
    frames = np.stack([picture(number, 32, 24) for number in range(4)])
    with pytest.raises(SettingsError, match="frames 4 needs shots=False"):
        pipeline.session(32, 24, 8, frames=4)
    with pytest.raises(SettingsError, match="frames 0 is below 1"):
        pipeline.session(32, 24, 8, frames=0)
    with pipeline.session(32, 24, 8, frames=3, scale=1, shots=False) as session:
        session.push(frames[:2])
        with pytest.raises(SettingsError, match="2 frames were pushed; the session was told of 3"):
            next(session.flush())
        with pytest.raises(ValueError, match="4 frames were pushed"):
            session.push(frames[:2])


def test_what_cannot_be_is_refused_at_once(pipeline):
    with pytest.raises(SettingsError, match="fps 240"), pipeline.session(32, 24, 12, fps=240):
        pass
    with pipeline.session(32, 24, 12) as session:
        with pytest.raises(ValueError, match="they must be uint8"):
            session.push(np.zeros((24, 30, 3), np.uint8))
        with pytest.raises(SettingsError, match="push some before you flush"):
            next(session.flush())
    with pytest.raises(ValueError, match="use it in a `with` block"):
        session.push(np.zeros((24, 32, 3), np.uint8))


def test_memory_does_not_grow_with_what_is_pushed(tiny_model):
    done = subprocess.run(
        [sys.executable, "-c", GROWTH, str(Path(tiny_model))], capture_output=True, text=True, check=True
    )
    pushed = 1500 * 96 * 64 * 3 / 1024
    assert int(done.stdout) < pushed / 3
