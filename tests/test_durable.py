"""A file is there whole, as it was or as it is now, and one process at a time works on it."""

import os

import pytest
from filelock import Timeout

from venhancer.durable import flush_to_disk, locked, remove_partials, write_whole, written_whole


@pytest.fixture(params=["here", "windows"])
def system(request) -> None:
    """This system, and the rules of another."""
    if request.param == "windows":
        request.getfixturevalue("windows")


@pytest.mark.usefixtures("system")
def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "manifest.json"
    for content in (b"one", b"two"):
        write_whole(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("system")
def test_a_folder_appears_whole(tmp_path):
    path = tmp_path / "pipeline"
    with pytest.raises(FileExistsError), written_whole(path) as partial:
        partial.joinpath("unet").mkdir(parents=True) or partial.mkdir()
    assert list(tmp_path.iterdir()) == []
    with written_whole(path) as partial:
        (partial / "unet").mkdir(parents=True)
        (partial / "unet" / "config.json").write_text("{}")
        assert not path.exists()
    assert list(tmp_path.rglob("*.json")) == [path / "unet" / "config.json"]


def test_only_the_partials_of_killed_processes_are_removed(tmp_path):
    for name in (".part", ".a.part", "b.part"):
        (tmp_path / name).touch()
    before = sorted(tmp_path.iterdir())
    killed = written_whole(tmp_path / "c.json")
    killed.__enter__().mkdir()
    remove_partials(tmp_path)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.usefixtures("capsys")
def test_a_full_disk_leaves_the_old_one(tmp_path, small_files):
    path = tmp_path / "manifest.json"
    write_whole(path, b"old")
    with small_files(), pytest.raises(OSError, match="File too large"):
        write_whole(path, b"n" * 1000)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_folders_can_be_flushed(tmp_path):
    flush_to_disk(tmp_path)
    with pytest.raises(FileNotFoundError):
        flush_to_disk(tmp_path / "none")


@pytest.mark.usefixtures("system")
def test_a_lock_keeps_others_out_and_is_removed(tmp_path):
    path = tmp_path / "lock"
    with locked(path), pytest.raises(Timeout), locked(path):
        pass
    assert not path.exists()


def test_a_lock_is_removed_before_another_process_can_hold_it(tmp_path, monkeypatch):
    path, unlink, held = tmp_path / "lock", os.unlink, []

    def watched(name, **options) -> None:
        with pytest.raises(Timeout), locked(path):
            pass
        held.append(name)
        unlink(name, **options)

    monkeypatch.setattr(os, "unlink", watched)
    with locked(path):
        pass
    assert held == [path]
