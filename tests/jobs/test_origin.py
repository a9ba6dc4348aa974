"""What a result depends on: told by content, whole or by spots, and named where it differs."""

import os
import re
import shutil
import sys
import tomllib
from pathlib import Path

import pytest

from venhancer.errors import InputError
from venhancer.jobs.origin import PACKAGES, SPOT_BYTES, WHOLE_BYTES, differences, fingerprint, origin_of
from venhancer.model_files.folders import find_model
from venhancer.settings import parse_settings


def test_small_files_are_told_by_content_alone(tmp_path):
    one, other = tmp_path / "one.mp4", tmp_path / "other.mp4"
    one.write_bytes(b"a" * 1000)
    other.write_bytes(b"a" * 1000)
    os.utime(other, (1, 1))
    assert fingerprint(one) == fingerprint(other)
    other.write_bytes(b"a" * 999 + b"b")
    assert fingerprint(one) != fingerprint(other)


def test_a_file_is_read_once_and_again_after_a_change(tmp_path):
    source, opened = tmp_path / "in.mp4", []
    source.write_bytes(b"a" * 1000)
    sys.addaudithook(lambda event, told: opened.append(told[0]) if event == "open" and told[0] == str(source) else None)
    prints = [fingerprint(source) for _ in range(3)]
    assert (len(set(prints)), len(opened)) == (1, 1)
    os.utime(source, (1, 1))
    assert (fingerprint(source), len(opened)) == (prints[0], 2)


def test_large_files_are_told_by_size_time_and_spots(tmp_path):
    film = tmp_path / "film.mkv"
    with film.open("wb") as file:
        file.truncate(WHOLE_BYTES * 8)  # sparse: it takes no room
    os.utime(film, (1, 1))
    before = fingerprint(film)
    for place in (0, film.stat().st_size - 1, (film.stat().st_size - SPOT_BYTES) * 100 // 255):
        with film.open("r+b") as file:
            file.seek(place)
            file.write(b"x")
        os.utime(film, (1, 1))
        assert fingerprint(film) != before, place
        with film.open("r+b") as file:
            file.seek(place)
            file.write(b"\0")
        os.utime(film, (1, 1))
        assert fingerprint(film) == before, place
    os.utime(film, (2, 2))
    assert fingerprint(film) != before


def test_folders_are_told_by_names_and_contents_but_not_by_hidden_files(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "1.png").write_bytes(b"one")
    before = fingerprint(tmp_path)
    (tmp_path / ".thumbnails").write_bytes(b"made by a viewer")
    assert fingerprint(tmp_path) == before
    (tmp_path / "deep" / "1.png").rename(tmp_path / "deep" / "2.png")
    assert fingerprint(tmp_path) != before


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="cannot be read; check the path"):
        fingerprint(tmp_path / "none.mp4")


def test_an_origin_names_all_that_a_result_depends_on(tmp_path):
    source, model = tmp_path / "in.mp4", tmp_path / "model"
    source.write_bytes(b"clip")
    model.mkdir()
    (model / "model_index.json").write_text("{}")
    then = origin_of(source, parse_settings(model=str(model)))
    assert {
        "input",
        "model",
        "scale",
        "noise augmentation",
        *(f"version of {package}" for package in PACKAGES),
    } <= then.keys()
    assert differences(then, origin_of(source, parse_settings(model=str(model)))) == []
    (model / "model_index.json").write_text("{ }")
    now = origin_of(source, parse_settings(model=str(model), size="64x48", prompt="x" * 90, seed=3))
    assert differences(then, now) == [
        "another model",
        "size none then and 64x48 now",
        f"prompt none then and {'x' * 37}... now",
        "seed 0 then and 3 now",
    ]


def test_every_package_is_compared_or_known_to_change_no_frame():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    needed = {re.split(r"[<>=]", requirement)[0] for requirement in project["dependencies"]}
    harmless = [
        "accelerate",
        "einops",
        "filelock",
        "fsspec",
        "huggingface-hub",
        "jaxtyping",
        "psutil",
        "pydantic",
        "pyyaml",
        "rich",
        "safetensors",
    ]
    assert {*PACKAGES, *harmless} == {*needed, "venhancer"}


def test_a_model_counts_by_its_files_and_not_by_where_they_lie(tmp_path):
    source = tmp_path / "in.mp4"
    source.write_bytes(b"clip")
    copy = shutil.copytree(find_model("nano"), tmp_path / "copy")
    assert differences(origin_of(source, parse_settings()), origin_of(source, parse_settings(model=str(copy)))) == []


def test_a_model_that_is_not_there_yet_is_left_open(tmp_path, monkeypatch):
    monkeypatch.setenv("VENHANCER_CACHE", str(tmp_path))
    source = tmp_path / "in.mp4"
    source.write_bytes(b"clip")
    assert "model" not in origin_of(source, parse_settings(model="v2"))
