"""Interlaced clips come out whole, frame for frame."""

import av
import numpy as np
import pytest

from media.clips import make_clip
from venhancer.media.reading.fields import deinterlace
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import FrameReader, read_frames

INTERLACED = {"flags": "+ildct+ilme", "g": "5"}


def woven(frames: int, width: int = 192, height: int = 64) -> list[np.ndarray]:
    """Return frames of a bar that moves, each with the lines of two moments: even ones first."""

    def moment(number: int) -> np.ndarray:
        rgb = np.full((height, width, 3), 40, np.uint8)
        rgb[:, 4 + 2 * number : 24 + 2 * number] = 210
        return rgb

    pictures = []
    for number in range(frames):
        rgb = moment(2 * number)
        rgb[1::2] = moment(2 * number + 1)[1::2]
        pictures.append(rgb)
    return pictures


def combing(frame: np.ndarray) -> float:
    """Return how far lines differ from the next, on average: nothing is there but upright edges."""
    return np.abs(np.diff(frame.astype(float), axis=0)).mean()


def interlaced_clip(path, frames: int = 20, **options: str):
    codec = "mpeg2video" if path.suffix == ".mpg" else "libx264"
    return make_clip(path, frames=frames, pictures=woven(frames), width=192, height=64, codec=codec, options=INTERLACED)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.mpg"])
def test_interlaced_clips_come_out_whole(tmp_path, name):
    clip = probe(interlaced_clip(tmp_path / name))
    frames = list(read_frames(clip))
    assert clip.is_interlaced
    assert len(frames) == clip.frames == 20
    assert min(combing(frame) for frame in woven(20)) > 3
    assert max(combing(frame) for frame in frames) < 0.5
    bars = [np.flatnonzero(frame[20:40].mean(axis=(0, 2)) > 125)[0] for frame in frames]
    assert np.all(np.abs(np.diff(bars) - 4) <= 1)  # none is lost, doubled or out of order


@pytest.mark.parametrize("name", ["a.mp4", "a.ts"])
def test_a_frame_is_the_same_wherever_reading_begins(tmp_path, name):
    clip = probe(interlaced_clip(tmp_path / name, frames=40))
    frames = list(read_frames(clip))
    for start in (1, 4, 5, 6, 7, 11, 23, 39):
        assert np.array_equal(next(read_frames(clip, start)), frames[start])
    with FrameReader(clip, keep=2) as reader:
        assert all(np.array_equal(f, frames[n]) for f, n in zip(reader.read([2, 30, 31]), [2, 30, 31], strict=True))


def test_progressive_clips_are_not_touched(tmp_path):
    clip = probe(make_clip(tmp_path / "a.mp4", frames=3))
    assert not clip.is_interlaced


@pytest.mark.parametrize("marks", ["i", "p", "ii", "ip", "pi", "ppp", "pipi", "iippiipp"])
def test_frames_that_are_not_interlaced_pass_as_they_are(tmp_path, marks):
    """One comes out for each, whatever the mixture."""
    files = {
        "i": make_clip(tmp_path / "i.mp4", frames=8, options=INTERLACED, pictures=woven(8), width=192, height=64),
        "p": make_clip(tmp_path / "p.mp4", frames=8, width=192, height=64),
    }

    def mixed():
        opened = {mark: av.open(str(path)) for mark, path in files.items()}
        streams = {mark: container.decode(video=0) for mark, container in opened.items()}
        frames = [next(streams[mark]) for mark in marks]
        for container in opened.values():
            container.close()
        return frames

    raw = [frame.to_ndarray() for frame in mixed()]
    whole = [frame.to_ndarray() for frame in deinterlace(mixed())]
    assert len(whole) == len(marks)
    for mark, before, after in zip(marks, raw, whole, strict=True):
        assert np.array_equal(before, after) == (mark == "p")
