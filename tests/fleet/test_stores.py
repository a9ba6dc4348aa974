"""Stores: what is written appears whole; what refuses is asked again; addresses mean the same anywhere."""

import uuid
from pathlib import Path

import pytest

from venhancer.errors import InputError
from venhancer.fleet.stores import PARTIAL, Store, StoreFailed, absolute


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path) -> Store:
    return Store(str(tmp_path / "store") if request.param == "local" else f"memory://{uuid.uuid4().hex}")


def test_what_is_written_is_read_found_listed_and_removed(store, tmp_path):
    assert store.find("a/b.txt") is None
    assert store.files() == {}
    store.write("a/b.txt", b"hello")
    store.replace("c.txt", b"at once")
    (tmp_path / "here").write_bytes(b"a file")
    store.put(tmp_path / "here", "a/d.txt")
    assert store.read("a/b.txt") == b"hello"
    assert store.read("a/b.txt", 2) == b"llo"
    assert {name: stored.bytes for name, stored in store.files().items()} == {"a/b.txt": 5, "c.txt": 7, "a/d.txt": 6}
    store.fetch("a/d.txt", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"a file"
    store.remove("a")
    store.remove("a")
    assert list(store.files()) == ["c.txt"]
    with pytest.raises(FileNotFoundError):
        store.read("a/b.txt")


def test_a_version_changes_when_a_file_is_written_again(store):
    store.write("a", b"one")
    before = store.find("a")
    store.write("a", b"two!")
    assert store.find("a") != before


def test_a_file_that_cannot_be_placed_leaves_nothing(tmp_path):
    store = Store(str(tmp_path))
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "full").touch()
    with pytest.raises(StoreFailed, match="a cannot be written"):
        store.write("a", b"content")
    assert list((tmp_path / PARTIAL).iterdir()) == []


def test_a_store_that_refuses_is_asked_again(monkeypatch):
    told: list[str] = []
    store = Store(f"memory://{uuid.uuid4().hex}", patience=20, tell_waiting=lambda: told.append("waiting"))
    refusals = iter([OSError("slow down")] * 2)
    pipe_file = store.fs.pipe_file

    def refusing(*arguments):
        if (error := next(refusals, None)) is not None:
            raise error
        return pipe_file(*arguments)

    monkeypatch.setattr(store.fs, "pipe_file", refusing)
    store.write("a", b"content")
    assert store.read("a") == b"content"
    assert set(told) == {"waiting"}
    monkeypatch.setattr(store, "patience", 0)
    monkeypatch.setattr(store.fs, "pipe_file", lambda *_: 1 / 0)
    with pytest.raises(StoreFailed, match="/b cannot be written"):
        store.write("b", b"content")


@pytest.mark.parametrize("name", ["a::b", "a b*[1]?", "ü", "-x", "s3:"])
def test_any_name_is_a_folder_here(tmp_path, name):
    store = Store(str(tmp_path / name))
    store.write("x.txt", b"1")
    assert (tmp_path / name / "x.txt").read_bytes() == b"1"
    assert list(store.files()) == ["x.txt"]


def test_addresses_are_absolute_and_shown_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute("in") == str(tmp_path / "in")
    assert absolute("s3://bucket/in/") == "s3://bucket/in"
    assert Store("out").describe("a.mp4") == "out/a.mp4"
    assert Store("out").address_of("a.mp4") == str(tmp_path / "out" / "a.mp4")


def test_unknown_protocols_are_refused():
    with pytest.raises(InputError, match=r"nothing here reads gopher://; give a folder or an address"):
        Store("gopher://host/in")
    assert not Path("gopher:").exists()
