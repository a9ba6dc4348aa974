"""A file is there whole, as it was or as it is now."""

import resource

import pytest

from venhancer.durable import flush_to_disk, write_durably


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "manifest.json"
    for content in (b"one", b"two"):
        write_durably(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("capsys")  # what is printed must not go through files, which the limit would hit as well
def test_a_full_disk_leaves_the_old_one(tmp_path):
    path = tmp_path / "manifest.json"
    write_durably(path, b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_durably(path, b"n" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_folders_can_be_flushed(tmp_path):
    flush_to_disk(tmp_path)
    with pytest.raises(FileNotFoundError):
        flush_to_disk(tmp_path / "none")
