"""The shots of real files."""

import tracemalloc

import numpy as np
import pytest

from media.clips import make_clip
from venhancer.media.reading.probe import probe
from venhancer.media.reading.shots import look_through, read_lumas


def scenes(*lengths: int, width: int = 192, height: int = 108) -> list[np.ndarray]:
    """Return pans over different places, of so many frames each."""
    pictures = []
    for number, length in enumerate(lengths):
        random = np.random.default_rng(number)
        place = np.kron(random.integers(20, 236, (height // 12, width // 8, 3)), np.ones((12, 12, 1)))
        level = random.uniform(0.4, 1)
        pictures += [(level * place[:height, n : n + width]).astype(np.uint8) for n in range(length)]
    return pictures


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi", "a.webm"])
def test_shots_begin_where_they_do(tmp_path, name):
    codec = {"a.avi": "mpeg4", "a.webm": "libvpx-vp9"}.get(name, "libx264")
    options = {"b": "8000000"} if codec == "mpeg4" else None
    path = make_clip(tmp_path / name, width=192, height=108, codec=codec, options=options, pictures=scenes(20, 13, 31))
    assert look_through(probe(path)).cuts == (20, 33)


def test_one_part_can_be_looked_at(tmp_path):
    clip = probe(make_clip(tmp_path / "a.mp4", width=192, height=108, pictures=scenes(20, 13, 31)))
    assert look_through(clip, range(25, 64)).cuts == (33,)
    assert look_through(clip, range(20, 33)).cuts == ()


def test_turned_and_interlaced_clips_have_the_same_shots(tmp_path):
    path = make_clip(
        tmp_path / "a.mp4",
        width=192,
        height=108,
        rotation=90,
        options={"flags": "+ildct+ilme"},
        pictures=scenes(20, 13),
    )
    assert look_through(probe(path)).cuts == (20,)


def test_every_frame_is_told_of(tmp_path):
    told = []

    class Told:
        def start(self, total, what):
            told.append((total, what))

        def advance(self):
            told.append(1)

    clip = probe(make_clip(tmp_path / "a.mp4", frames=30))
    look_through(clip, progress=Told())
    assert told == [(30, "look for cuts"), *[1] * 30]


def test_pictures_are_small_and_pass_one_by_one(tmp_path):
    clip = probe(make_clip(tmp_path / "a.mp4", width=320, height=160, frames=100))
    lumas = read_lumas(clip)
    assert next(lumas).shape == (48, 96)
    tracemalloc.start()
    assert sum(1 for _ in lumas) == 99
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * 48 * 96
