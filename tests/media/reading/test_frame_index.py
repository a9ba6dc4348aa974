"""Where decoding may begin."""

import numpy as np
import pytest

from media.clips import make_clip
from venhancer.media.reading.frame_index import read_index, seek_entry
from venhancer.media.source import open_source, video_stream

CLOSED = {"g": "10", "x264-params": "bframes=2:scenecut=0"}
OPEN = {"g": "10", "x264-params": "open-gop=1:bframes=2:scenecut=0"}


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_entries_are_the_key_frames_that_nothing_refers_across(tmp_path, name):
    closed = read_index(make_clip(tmp_path / name, frames=45, options=CLOSED))
    opened = read_index(make_clip(tmp_path / f"open_{name}", frames=45, options=OPEN))
    assert [entry.frame for entry in closed.entries] == [0, 10, 20, 30, 40]
    assert [entry.frame for entry in opened.entries] == [0]
    assert [closed.entry_before(frame).frame for frame in (0, 9, 10, 44)] == [0, 0, 10, 40]


def test_times_are_in_the_order_of_showing(tmp_path):
    index = read_index(make_clip(tmp_path / "a.mp4", frames=20, options=CLOSED))
    assert len(index.times) == len(index.packet_times) == 20
    assert np.all(np.diff(index.times) > 0)
    assert not np.all(np.diff(index.packet_times) > 0)


@pytest.mark.parametrize("name", ["a.ts", "a.avi"])
def test_without_sure_packets_there_is_only_the_beginning(tmp_path, name):
    index = read_index(make_clip(tmp_path / name, codec="mpeg4", frames=20))
    assert index.times is None
    assert [entry.packet for entry in index.entries] == [0]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "a.webm"])
def test_a_file_with_a_table_is_not_read_up_to_the_entry(tmp_path, name):
    codec = "libvpx-vp9" if name == "a.webm" else "libx264"
    path = make_clip(tmp_path / name, frames=60, codec=codec, options={"g": "10"} if codec == "libx264" else None)
    index = read_index(path)
    last = index.entries[-1]
    assert last.frame > 30
    with open_source(path) as container:
        assert 0 <= seek_entry(last, index, container, video_stream(container, path), path) < 12
