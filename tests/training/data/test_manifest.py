"""Manifests are written and read strictly."""

from fractions import Fraction

import pytest

from venhancer.errors import InputError
from venhancer.media.orientation import Border
from venhancer.training.data.manifest import ClipEntry, find_manifest, read_manifest, write_manifest

GOOD = '{"path": "a.mp4", "frames": 9, "rate": "24", "width": 64, "height": 48}'


def test_entries_come_back_as_written(tmp_path):
    entries = [
        ClipEntry(
            path="a.npy",
            frames=3,
            rate=Fraction(30000, 1001),
            width=8,
            height=6,
            caption="a\u2028cat\x85\n",
            licence="CC0",
        ),
        ClipEntry(
            path="b.mp4",
            shard="one.tar",
            offset=512,
            bytes=77,
            start=4,
            frames=9,
            rate=25,
            width=8,
            height=6,
            split="held_out",
            begin=Fraction(-1, 30),
            color_matrix="bt601",
            full_range=True,
            rotation=90,
            mirrored=True,
            border=Border(1, 2, 3, 4),
            chroma_location="topleft",
        ),
    ]
    write_manifest(tmp_path / "manifest.jsonl", entries)
    assert read_manifest(tmp_path / "manifest.jsonl") == entries
    assert read_manifest(tmp_path / "manifest.jsonl", "held_out") == entries[1:]
    assert (tmp_path / "manifest.jsonl").read_text().count("\n") == 2
    assert entries[1].name == "one.tar/b.mp4 from frame 4"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: is not a JSON object"),
        (GOOD.replace('"frames": 9', '"frames": 0'), "line 2: frames is 0: input should be greater than or equal to 1"),
        (GOOD.replace('"24"', '"fast"'), "line 2: rate is 'fast': is not a plain number or fraction"),
        (GOOD.replace('"frames": 9, ', ""), "line 2: frames is missing"),
        (GOOD.replace("frames", "framse"), "line 2: frames is missing"),
        (GOOD.replace("}", ', "file": "b"}'), "line 2: file is not a field of a clip; fields are path, shard"),
        (GOOD.replace("}", ', "rotation": 45}'), "line 2: rotation is 45: input should be 0, 90, 180 or 270"),
        (GOOD.replace("}", ', "color_matrix": "pal"}'), "line 2: color_matrix is 'pal': must be one of bt601"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, message):
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text(f"{GOOD}\n{line}\n{GOOD}\n")
    with pytest.raises(InputError, match=message) as raised:
        read_manifest(manifest)
    assert "\n" not in str(raised.value)


def test_missing_and_empty_manifests_are_said_in_one_line(tmp_path):
    with pytest.raises(InputError, match=r"manifest .*manifest\.jsonl does not exist; make one with"):
        find_manifest(tmp_path)
    (tmp_path / "manifest.jsonl").write_text("\n")
    with pytest.raises(InputError, match="is empty; make one with"):
        read_manifest(find_manifest(tmp_path))
    (tmp_path / "manifest.jsonl").write_text(GOOD)
    with pytest.raises(InputError, match="no clip of split 'test'; it has train"):
        read_manifest(find_manifest(tmp_path), "test")


def test_a_manifest_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        write_manifest(tmp_path / "out", [ClipEntry.model_validate_json(GOOD)])
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
