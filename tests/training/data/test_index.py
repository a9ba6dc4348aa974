"""A folder becomes a manifest."""

import json
import logging
import tarfile
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from media.clips import make_clip, number_of
from venhancer.cli.main import main
from venhancer.errors import InputError, JobFailed, SettingsError
from venhancer.training.data.clips import read_draw
from venhancer.training.data.draws import Draw
from venhancer.training.data.index import index_folder
from venhancer.training.data.manifest import ClipEntry, read_manifest
from venhancer.training.data.stretches import find_stretches, split_evenly
from venhancer.training.settings import parse_index_settings

SMALL = parse_index_settings(smallest=32, shortest=5, move_size="64x36", move_frames=4, moves=2)


def coarse(number: int, frames: int, speed: int = 1) -> list[np.ndarray]:
    """Return frames of a place of its own that moves."""
    wide = np.random.default_rng(number).integers(0, 255, (6, 30, 3)).repeat(8, axis=0).repeat(8, axis=1)
    return [wide[:, speed * n : speed * n + 64].astype(np.uint8) for n in range(frames)]


def first_frame(entry: ClipEntry, folder) -> np.ndarray:
    size = (entry.height, entry.width)
    draw = Draw(
        entry=entry,
        numbers=[0],
        size=size,
        top=0,
        left=0,
        height=size[0],
        width=size[1],
        mirrored=False,
        reversed=False,
    )
    return read_draw(draw, folder)[0]


def test_films_are_cut_and_rid_of_black_static_and_short_shots(tmp_path):
    black, still = [np.zeros((48, 64, 3), np.uint8)] * 8, coarse(3, 1) * 8
    shots = [coarse(0, 10), black, coarse(1, 4), coarse(2, 12), still]
    film = make_clip(
        tmp_path / "film.mp4", rate=Fraction(30000, 1001), pictures=[frame for shot in shots for frame in shot]
    )
    found = find_stretches(film, SMALL)
    assert [(clip.start, clip.frames) for clip in found.clips] == [(0, 10), (22, 12)]
    assert sorted(found.left_out) == ["black", "short", "static"]
    assert found.clips[1].rate == Fraction(30000, 1001)
    whole = find_stretches(film, SMALL.model_copy(update={"whole_files": True}))
    assert [(clip.start, clip.frames) for clip in whole.clips] == [(0, 42)]


def test_thresholds_are_settings(tmp_path):
    film = make_clip(tmp_path / "film.mp4", pictures=[*coarse(0, 10), *coarse(1, 20)])
    counts = [
        len(find_stretches(film, SMALL.model_copy(update=change)).clips)
        for change in ({}, {"shortest": 15}, {"darkest": 250}, {"stillest": 200}, {"smallest": 49}, {"longest": 10})
    ]
    assert counts == [2, 1, 0, 0, 0, 3]


def test_long_shots_become_even_pieces():
    assert split_evenly(0, 10, 10) == [(0, 10)]
    assert [stop - start for start, stop in split_evenly(7, 107, 30)] == [25, 25, 25, 25]


def test_uneven_timing_is_left_out(tmp_path):
    clip = make_clip(tmp_path / "a.mkv", times=[n + 3 * (n > 5) for n in range(12)])
    assert find_stretches(clip, SMALL) == ([], ["variable timing"])


def test_footage_whose_frames_have_no_number_is_left_out(tmp_path):
    joined = make_clip(tmp_path / "a.ts", frames=12)
    joined.write_bytes(2 * joined.read_bytes())
    assert find_stretches(joined, SMALL) == ([], ["joined clocks"])
    interlaced = make_clip(tmp_path / "a.mp4", frames=12, options={"flags": "+ildct+ilme", "x264-params": "tff=1"})
    assert find_stretches(interlaced, SMALL) == ([], ["interlaced"])


def test_what_lies_in_a_folder_is_found(tmp_path):
    folder = tmp_path / "clips"
    (folder / "deep").mkdir(parents=True)
    make_clip(folder / "a.mp4", pictures=coarse(0, 10))
    (folder / "a.txt").write_text("a place\n that moves")
    make_clip(folder / "deep" / "b.mkv", rate=25, pictures=coarse(1, 10), rotation=90)
    (folder / "deep" / "b.json").write_text('{"caption": "another", "licence": "CC0", "fps": 3}')
    np.save(folder / "c.npy", np.stack(coarse(2, 10)))
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)).save(folder / "d.png")
    (folder / "broken.mp4").write_bytes(b"no video")
    (folder / ".hidden.mp4").write_bytes(b"")
    (folder / "notes.md").write_text("not looked at")
    report = index_folder(folder, SMALL.model_copy(update={"licence": "ours", "split": "held_out"}))
    clips = read_manifest(report.manifest)
    assert clips == list(report.clips)
    by_source = {clip.path.partition("_")[0]: clip for clip in clips}
    assert sorted(by_source) == ["a.mp4", "c.npy", "deep/b.mkv", "moves/d"]
    assert (by_source["a.mp4"].caption, by_source["a.mp4"].licence) == ("a place that moves", "ours")
    turned = by_source["deep/b.mkv"]
    assert (turned.caption, turned.licence, turned.rate, turned.rotation) == ("another", "CC0", 25, 90)
    assert (turned.width, turned.height) == (48, 64)
    assert by_source["moves/d"].source == "camera move over d.png"
    assert {clip.split for clip in clips} == {"held_out"}
    assert report.files == 5
    assert list(report.damaged) == [str(folder / "broken.mp4")]
    for clip in clips:
        assert first_frame(clip, folder).shape == (clip.height, clip.width, 3)
    again = index_folder(folder, SMALL, overwrite=True)
    assert len(again.clips) == len(clips) == 5


def test_a_manifest_elsewhere_leads_to_the_files(tmp_path):
    (tmp_path / "clips").mkdir()
    make_clip(tmp_path / "clips" / "a.mp4", pictures=coarse(0, 10))
    report = index_folder(tmp_path / "clips", SMALL, output=tmp_path / "other" / "list.jsonl")
    assert first_frame(report.clips[0], tmp_path / "other").shape == (48, 64, 3)


def test_processes_find_the_same(tmp_path):
    for number in range(3):
        make_clip(tmp_path / f"{number}.mp4", pictures=coarse(number, 8))
    one = index_folder(tmp_path, SMALL)
    two = index_folder(tmp_path, SMALL.model_copy(update={"workers": 2}), overwrite=True)
    assert one.clips == two.clips


def test_clips_may_be_packed_into_shards_and_found_there_again(tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    make_clip(folder / "a.mp4", pictures=[*coarse(0, 10), *coarse(1, 10)])
    (folder / "a.txt").write_text("two places")
    np.save(folder / "b.npy", np.stack(coarse(2, 10)))
    plain = index_folder(folder, SMALL)
    packed = index_folder(folder, SMALL.model_copy(update={"shard_size": 1}), overwrite=True)
    assert {clip.shard for clip in packed.clips} == {"packed/shard_000000.tar"}
    again = index_folder(folder / "packed", SMALL)
    assert [clip.caption for clip in again.clips] == ["two places", "two places", ""]
    for clips, place in ((packed.clips, folder), (again.clips, folder / "packed")):
        for one, other in zip(plain.clips, clips, strict=True):
            assert np.array_equal(first_frame(one, folder), first_frame(other, place))


def test_other_programs_shards_are_read(tmp_path):
    make_clip(tmp_path / "x.mp4", frames=9)
    (tmp_path / "x.json").write_text('{"caption": "numbers"}')
    (tmp_path / "y.mp4").write_bytes(b"damaged")
    folder = tmp_path / "shards"
    folder.mkdir()
    with tarfile.open(folder / "00.tar", "w") as tar:
        for name in ("x.json", "x.mp4", "y.mp4"):
            tar.add(tmp_path / name, f"part/{name}")
    report = index_folder(folder, SMALL)
    (clip,) = report.clips
    assert (clip.path, clip.caption, number_of(first_frame(clip, folder))) == ("part/x.mp4", "numbers", 0)
    assert "part/y.mp4" in report.damaged[str(folder / "00.tar")]


def test_captions_in_one_file(tmp_path):
    for name in "ab":
        make_clip(tmp_path / f"{name}.mp4", pictures=coarse(ord(name), 8))
    captions = tmp_path / "captions.txt"
    captions.write_text("first\nsecond\n")
    settings = SMALL.model_copy(update={"captions": captions})
    assert [clip.caption for clip in index_folder(tmp_path, settings).clips] == ["first", "second"]
    captions.write_text("first\n")
    with pytest.raises(InputError, match="has 1 captions for 2 files; write one line for each, in order"):
        index_folder(tmp_path, settings, overwrite=True)


@pytest.mark.parametrize("text", ["{", "[]", '{"caption": 3}'])
def test_a_damaged_sidecar_leaves_its_clip_out(tmp_path, text, caplog):
    for name in "ab":
        make_clip(tmp_path / f"{name}.mp4", pictures=coarse(ord(name), 8))
    (tmp_path / "a.json").write_text(text)
    with caplog.at_level(logging.WARNING):
        report = index_folder(tmp_path, SMALL)
    assert [clip.path for clip in report.clips] == ["b.mp4"]
    assert str(tmp_path / "a.mp4") in caplog.text


def test_folders_that_give_nothing_are_said_in_one_line(tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        index_folder(tmp_path / "gone", SMALL)
    with pytest.raises(InputError, match="contains no video, picture, array or tar shard"):
        index_folder(tmp_path, SMALL)
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(InputError, match=r"all 1 files in .* are damaged; the first: .*a\.mp4 is damaged"):
        index_folder(tmp_path, SMALL)
    make_clip(tmp_path / "b.mp4", frames=3)
    with pytest.raises(InputError, match=r"no clip in .* passes the limits \(1 short, 1 damaged\)"):
        index_folder(tmp_path, SMALL)
    assert not (tmp_path / "manifest.jsonl").exists()


def test_a_manifest_is_not_replaced_by_accident(tmp_path):
    (tmp_path / "manifest.jsonl").write_text("kept")
    with pytest.raises(InputError, match="exists; pass --overwrite or choose another --output"):
        index_folder(tmp_path, SMALL)
    assert (tmp_path / "manifest.jsonl").read_text() == "kept"


def test_settings_that_cannot_be_are_said_in_one_line():
    with pytest.raises(SettingsError, match="--shortest none: input should be a valid integer"):
        parse_index_settings(shortest="none")
    with pytest.raises(SettingsError, match="--rate fast: is not a plain number or fraction"):
        parse_index_settings(rate="fast")


def test_the_command_writes_a_manifest_and_says_so(tmp_path, capsys):
    make_clip(tmp_path / "a.mp4", width=160, height=144, frames=20)
    words = ["train", "index", str(tmp_path), "--licence", "CC0", "--stillest", "0.1", "--whole-files"]
    main([*words, "--quiet"])
    assert capsys.readouterr().out == ""
    main([*words, "--output", str(tmp_path / "two.jsonl"), "--rate", "30000/1001"])
    shown = capsys.readouterr().out
    assert "1 of 20 frames" in shown
    assert f"wrote {tmp_path / 'two.jsonl'}" in shown
    line = json.loads((tmp_path / "manifest.jsonl").read_text())
    assert line == {
        "path": "a.mp4",
        "frames": 20,
        "rate": "24",
        "width": 160,
        "height": 144,
        "licence": "CC0",
        "color_matrix": "bt601",
    }


def test_the_command_names_what_is_wrong(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["train", "index", str(tmp_path / "gone")])
    assert capsys.readouterr().err.count("\n") == 1


def test_a_full_disk_is_said_in_one_line_and_leaves_nothing(tmp_path):
    """A file stands where the folder for camera moves has to be."""
    Image.fromarray(np.zeros((90, 120, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "moves").write_text("in the way")
    with pytest.raises(JobFailed, match=r"camera move .* cannot be written; free some space"):
        index_folder(tmp_path, SMALL)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "moves"]
