"""Clips to batches."""

import json
import logging

import numpy as np
import pytest
import torch

from training.prepared import make_clips, tiny_settings
from venhancer.errors import InputError, JobFailed
from venhancer.training.data.batches import SKIPPED, Batches, load_batches
from venhancer.training.data.manifest import MANIFEST, ClipEntry, read_manifest, write_manifest


def same(one, other) -> bool:
    return one.caption == other.caption and all(torch.equal(a, b) for a, b in zip(one[:-2], other[:-2], strict=True))


@pytest.fixture
def folder(tmp_path):
    make_clips(tmp_path / "clips")
    return tmp_path


@pytest.fixture
def damaged(tmp_path):
    """A folder with two whole clips, one cut short and one that is gone."""
    make_clips(tmp_path / "clips", count=5)
    content = (tmp_path / "clips" / "clip_1.npy").read_bytes()
    (tmp_path / "clips" / "clip_1.npy").write_bytes(content[: len(content) // 2])
    (tmp_path / "clips" / "clip_3.npy").unlink()
    return tmp_path


def test_a_group_is_a_function_of_its_step_and_number(folder):
    settings = tiny_settings(folder, batch_size=4, micro_batch_size=2)
    batches = Batches(settings)
    assert same(batches.group(4, 1), Batches(settings, 2).group(4, 1))
    assert not same(batches.group(4, 1), batches.group(4, 0))
    assert not same(batches.group(4, 1), batches.group(5, 1))
    group = batches.group(4, 1)
    assert group.target.shape[:2] == (2, 3)
    assert group.target.shape[3:] == (40, 32)


def test_of_several_crops_the_one_with_most_detail_is_used(folder):
    """Half of every picture is plain."""
    for path in (folder / "clips").glob("*.npy"):
        frames = np.load(path)
        frames[:, :, : frames.shape[2] // 2] = 90
        np.save(path, frames)
    plain = []
    for choices in (1, 8):
        data = {"manifest": folder / "clips", "crop_choices": choices}
        batches = Batches(tiny_settings(folder, data=data, crop=(24, 16)))
        targets = [batches.group(step, 0).target for step in range(12)]
        plain.append(sum(float((target.diff(dim=-1) == 0).float().mean()) for target in targets))
    assert plain[1] < 0.5 * plain[0]


def test_stills_are_clips_of_one_frame(folder):
    entries = [entry.model_copy(update={"frames": 1}) for entry in read_manifest(folder / "clips" / MANIFEST)]
    write_manifest(folder / "clips" / MANIFEST, entries)
    augment = {"degraded_share": 1.0, "unstable_share": 1.0}
    settings = tiny_settings(folder, frames=1, steps=40, batch_size=2, augment=augment)
    for group in load_batches(settings, 0):
        assert group.target.shape == group.key_frames.shape == (2, 3, 1, 40, 32)
        assert group.key_frame_mask.all()


def test_an_epoch_shows_every_clip(folder):
    batches = Batches(tiny_settings(folder, batch_size=2, micro_batch_size=1))
    assert len(batches.draws.entries) == 2
    for step in range(8):
        one, other = (batches.draws.turn(0, 2 * step + group) for group in range(2))
        assert {one, other} == {0, 1}


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_the_stream_is_the_same_for_any_number_of_workers(folder):
    streams = [list(load_batches(tiny_settings(folder, workers=workers), 3)) for workers in (0, 1, 3)]
    assert [len(stream) for stream in streams] == [3, 3, 3]
    assert all(same(groups[0], other) for groups in zip(*streams, strict=True) for other in groups[1:])


@pytest.mark.parametrize("ranks", [2, 4])
def test_the_stream_is_the_same_for_any_number_of_ranks(folder, ranks):
    settings = tiny_settings(folder, batch_size=4, micro_batch_size=1, steps=3)
    whole = list(load_batches(settings, 1))
    shares = [list(load_batches(settings, 1, rank=rank, ranks=ranks)) for rank in range(ranks)]
    assert len(whole) == 8
    for number, group in enumerate(whole):
        step, place = divmod(number, 4)
        assert same(group, shares[place % ranks][step * 4 // ranks + place // ranks])


def test_held_out_clips_are_not_trained_on(folder):
    assert {entry.path for entry in Batches(tiny_settings(folder)).draws.entries} == {"clip_0.npy", "clip_1.npy"}


def test_a_group_shows_the_pixels_of_a_clip(folder):
    """Without augmentation a target is a crop of the stored array, bit for bit."""
    plain = {"mirrored_share": 0, "reversed_share": 0, "crop_from": "centre", "manifest": folder / "clips"}
    settings = tiny_settings(folder, data=plain, frames=12, augment={"low_quality_share": 0})
    target = Batches(settings).group(0, 0).target[0]
    frames = ((target + 1) * 127.5).round().to(torch.uint8).movedim(0, -1).numpy()
    stored = [np.load(folder / "clips" / f"clip_{number}.npy")[:, 4:44, 8:40] for number in range(2)]
    starts = range(12 - len(frames) + 1)
    assert any(np.array_equal(frames, clip[start : start + len(frames)]) for clip in stored for start in starts)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_damaged_clips_are_skipped_alike_everywhere_and_told_of_once(damaged, caplog):
    settings = [
        tiny_settings(damaged, workers=workers, output=damaged / f"run{workers}", steps=12) for workers in (0, 2)
    ]
    with caplog.at_level(logging.WARNING):
        streams = [load_batches(one, 0) for one in settings]
        groups = [list(stream) for stream in streams]
    assert all(same(*pair) for pair in zip(*groups, strict=True))
    assert streams[0].skipped == streams[1].skipped
    assert set(streams[0].skipped) == {"clip_1.npy", "clip_3.npy"}
    assert "cannot be read" in streams[0].skipped["clip_1.npy"]
    assert len(caplog.records) == 4
    recorded = [json.loads(line)["clip"] for line in (damaged / "run0" / SKIPPED).read_text().splitlines()]
    assert sorted(recorded) == ["clip_1.npy", "clip_3.npy"]
    assert load_batches(settings[0], 0).skipped == streams[0].skipped


@pytest.mark.parametrize("workers", [0, 1])
def test_nothing_but_damaged_clips_is_said_in_one_line(folder, workers):
    for clip in (folder / "clips").glob("*.npy"):
        clip.write_bytes(b"no array")
    with pytest.raises(InputError, match=r"none of 2 clips of .* can be read; the first: ") as raised:
        next(load_batches(tiny_settings(folder, workers=workers), 0))
    assert "\n" not in str(raised.value)


def test_missing_data_is_said_in_one_line(tmp_path):
    with pytest.raises(InputError, match=r"manifest .*clips does not exist; make one with"):
        Batches(tiny_settings(tmp_path))


def test_clips_smaller_than_the_crop_are_said_in_one_line(folder):
    with pytest.raises(InputError, match="no clip of at least 64x64"):
        Batches(tiny_settings(folder, crop=(64, 64)))


def test_clips_shorter_than_wanted_are_said_in_one_line(folder):
    with pytest.raises(
        InputError, match=r"longest usable clip in .* has 12 frames; set frames to at most that, not 13"
    ):
        Batches(tiny_settings(folder, frames=13))


def test_captions_of_another_length_are_refused(folder):
    captions = folder / "captions.txt"
    captions.write_text("one\ntwo\nthree\n")
    data = {"manifest": folder / "clips", "captions": captions}
    with pytest.raises(InputError, match=r"has 3 captions for 2 clips of .*manifest\.jsonl; write one line for each"):
        Batches(tiny_settings(folder, data=data))
    captions.write_text("one\ntwo\n")
    assert [entry.caption for entry in Batches(tiny_settings(folder, data=data)).draws.entries] == ["one", "two"]


def test_one_readable_clip_among_many_is_enough(folder):
    entries = read_manifest(folder / "clips" / MANIFEST, "train")
    gone = [ClipEntry(path=f"gone_{n}.npy", frames=12, rate=24, width=48, height=48) for n in range(40)]
    write_manifest(folder / "clips" / MANIFEST, [*gone, entries[0]])
    stream = load_batches(tiny_settings(folder, steps=1), 0)
    assert next(stream).target.shape[0] == 1


def test_a_record_that_cannot_be_written_is_said_in_one_line(damaged):
    (damaged / "run").mkdir()
    (damaged / "run" / SKIPPED).symlink_to(damaged / "gone" / "file")
    with pytest.raises(JobFailed, match=r"skipped_clips\.jsonl cannot be written; free some space"):
        list(load_batches(tiny_settings(damaged, steps=12), 0))
