"""Clips out of files and folders: cut, cropped, named apart, refused in a line."""

import numpy as np
import pytest

from media.clips import make_clip, number_of
from venhancer.errors import InputError
from venhancer.evaluation.clips import find_clips

ASKED = {"frames": 7, "start": 0.0, "scale": 4, "factor": 3}


def test_a_folder_gives_its_videos_cut_and_cropped(tmp_path):
    make_clip(tmp_path / "b.mp4", width=70, height=50, frames=12)
    make_clip(tmp_path / "a.mkv", frames=9)
    (tmp_path / "notes.txt").write_text("no clip")
    clips = find_clips([tmp_path], **ASKED)
    assert [clip.name for clip in clips] == ["a", "b"]
    assert clips[1].load().shape == (7, 48, 64, 3)
    assert [number_of(frame) for frame in clips[0].load()] == list(range(7))


def test_a_shorter_clip_is_cut_to_whole_intervals(tmp_path):
    path = make_clip(tmp_path / "a.mp4", frames=6)
    assert len(find_clips([path], **ASKED)[0].load()) == 4


def test_start_is_in_seconds(tmp_path):
    path = make_clip(tmp_path / "a.mp4", frames=12, rate=8)
    (clip,) = find_clips([path], **ASKED | {"start": 0.5})
    assert (number_of(clip.load()[0]), clip.rate) == (4, 8)


def test_files_of_one_name_are_told_apart(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        make_clip(tmp_path / folder / "a.mp4", frames=7)
    assert [clip.name for clip in find_clips([tmp_path / "one", tmp_path / "two"], **ASKED)] == [
        "one-a.mp4",
        "two-a.mp4",
    ]


def test_what_cannot_be_judged_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        find_clips([tmp_path / "none.mp4"], **ASKED)
    with pytest.raises(InputError, match="contains no clips"):
        find_clips([tmp_path], **ASKED)
    short = make_clip(tmp_path / "short.mp4", frames=3)
    with pytest.raises(InputError, match=r"has 3 frames; temporal factor 3 needs 4 or more"):
        find_clips([short], **ASKED)
    with pytest.raises(InputError, match=r"0 frames after 9 s"):
        find_clips([short], **ASKED | {"start": 9.0})
    with pytest.raises(InputError, match="too small"):
        find_clips([make_clip(tmp_path / "small.mkv", width=6, height=6, codec="ffv1", pixel_format="bgr0")], **ASKED)


def test_frames_are_those_of_the_file(tmp_path):
    pictures = list(np.random.default_rng(0).integers(0, 256, (4, 32, 48, 3), dtype=np.uint8))
    path = make_clip(tmp_path / "a.mkv", width=48, height=32, codec="ffv1", pixel_format="bgr0", pictures=pictures)
    np.testing.assert_array_equal(find_clips([path], **ASKED)[0].load(), np.stack(pictures))
