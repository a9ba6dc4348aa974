"""Animated WebP, PNG and GIF: every frame at its time, and transparency wherever it is."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from media.clips import number_of, picture
from venhancer.errors import InputError
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import FrameReader, read_frames

VARIED = [40, 40, 400, 40, 120, 1000]
KINDS = {".webp": {"lossless": True}, ".png": {}, ".gif": {"disposal": 2}}


def save(path: Path, durations: list[int] | int = 40, frames: list[Image.Image] | None = None, **more) -> Path:
    """Write an animation of frames that tell their numbers."""
    shown = frames or [Image.fromarray(picture(number)) for number in range(6)]
    first, *others = shown
    first.save(path, save_all=True, append_images=others, duration=durations, loop=0, **KINDS[path.suffix], **more)
    return path


@pytest.mark.parametrize("suffix", KINDS)
def test_even_frames_have_a_rate(tmp_path, suffix):
    clip = probe(save(tmp_path / f"a{suffix}"))
    assert clip.kind == ("video" if suffix == ".gif" else "animation")
    assert (clip.frames, clip.rate, clip.duration, clip.timestamps) == (6, 25, Fraction(6, 25), None)
    assert not clip.has_alpha
    assert [number_of(frame) for frame in read_frames(clip)] == [*range(6)]


@pytest.mark.parametrize("suffix", KINDS)
def test_varied_frames_keep_their_times(tmp_path, suffix):
    clip = probe(save(tmp_path / f"a{suffix}", VARIED))
    assert [clip.frame_time(number) * 1000 for number in range(7)] == [sum(VARIED[:number]) for number in range(7)]
    assert "variable frame timing" in clip.not_kept


@pytest.mark.parametrize("suffix", [".webp", ".png"])
def test_frames_are_exact_in_any_order(tmp_path, suffix):
    clip = probe(save(tmp_path / f"a{suffix}"))
    with FrameReader(clip) as reader:
        for numbers in ([5], [0, 1], [1, 4, 5], [2]):
            for number, frame in zip(numbers, reader.read(numbers), strict=True):
                assert np.array_equal(frame, picture(number))


def test_frames_without_a_duration_are_shown_as_browsers_show_them(tmp_path):
    clip = probe(save(tmp_path / "a.webp", 0))
    assert (clip.rate, clip.duration) == (10, Fraction(6, 10))


def test_transparency_of_a_later_frame_of_a_gif_is_seen(tmp_path):
    frames = [Image.fromarray(picture(number)).quantize(200) for number in range(4)]
    frames[2].paste(255, (8, 30, 24, 40))
    clip = probe(save(tmp_path / "a.gif", frames=frames, transparency=255, optimize=False))
    with pytest.raises(InputError, match=r"is transparent at 0\.08 s"):
        list(read_frames(replace(clip, must_be_opaque=True)))
    shown = list(read_frames(replace(clip, background=(255, 255, 255))))
    assert [bool((frame[32:38, 10:22] == 255).all()) for frame in shown] == [False, False, True, False]


@pytest.mark.parametrize("suffix", [".webp", ".png"])
def test_transparency_of_a_later_frame_is_seen(tmp_path, suffix):
    frames = [Image.fromarray(picture(number)).convert("RGBA") for number in range(4)]
    assert not probe(save(tmp_path / f"a{suffix}", frames=frames)).has_alpha
    frames[2].paste((0, 0, 0, 0), (8, 30, 24, 40))
    clip = probe(save(tmp_path / f"a{suffix}", frames=frames))
    assert clip.has_alpha
    shown = list(read_frames(replace(clip, background=(255, 255, 255))))
    assert (shown[2][32:38, 10:22] == 255).all()
    assert not (shown[1][32:38, 10:22] == 255).all()


def test_the_picture_beside_an_animated_png_is_no_frame(tmp_path):
    frames = [Image.fromarray(picture(number)) for number in range(4)]
    clip = probe(save(tmp_path / "a.png", frames=frames, default_image=True))
    assert [number_of(frame) for frame in read_frames(clip)] == [1, 2, 3]
    assert clip.not_kept == ("the picture for programs without animation",)


def test_an_animation_cut_short_is_refused(tmp_path):
    for suffix in (".webp", ".png"):
        path = save(tmp_path / f"a{suffix}")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(InputError):
            probe(path)


def test_too_many_frames_are_refused(tmp_path, monkeypatch):
    path = save(tmp_path / "a.webp")
    monkeypatch.setenv("VENHANCER_LIMITS", "frames=5")
    with pytest.raises(InputError, match="more than 5 frames"):
        probe(path)


def test_memory_does_not_grow_with_the_length(tmp_path):
    """Of ten times as many frames, no more than a few are held: what grows is the file itself."""
    import tracemalloc

    peaks = []
    for count in (10, 100):
        frames = [Image.fromarray(picture(number % 9)) for number in range(count)]
        clip = probe(save(tmp_path / "a.webp", frames=frames))
        tracemalloc.start()
        for _ in read_frames(clip):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1] - (tmp_path / "a.webp").stat().st_size)
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 40 * 64 * 48
