"""Prepared clips to batches."""

import pytest
import torch
from prepared import make_clips, tiny_settings

from venhancer.errors import InputError
from venhancer.training.data import Batches, load_batches


def same(one, other) -> bool:
    return one.caption == other.caption and all(torch.equal(a, b) for a, b in zip(one[:-1], other[:-1], strict=True))


@pytest.fixture
def folder(tmp_path):
    make_clips(tmp_path / "clips")
    return tmp_path


def test_a_batch_is_a_function_of_its_number(folder):
    settings = tiny_settings(folder, batch_size=2)
    batches = Batches(settings, 0)
    assert same(batches.batch(4), Batches(settings, 2).batch(4))
    assert not same(batches.batch(4), batches.batch(5))
    batch = batches.batch(4)
    assert batch.target.shape[:2] == (2, 3)
    assert batch.target.shape[3:] == (40, 32)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_the_stream_is_the_same_for_any_number_of_workers(folder):
    streams = [list(load_batches(tiny_settings(folder, workers=workers), 3)) for workers in (0, 2)]
    assert len(streams[0]) == len(streams[1]) == 3
    assert all(same(*pair) for pair in zip(*streams, strict=True))


def test_held_out_clips_are_not_trained_on(folder):
    assert {entry.file.name for entry in Batches(tiny_settings(folder), 0).entries} == {"clip_0.npy", "clip_1.npy"}


def test_missing_data_is_said_in_one_line(tmp_path):
    with pytest.raises(InputError, match=r"has no index\.jsonl"):
        Batches(tiny_settings(tmp_path), 0)


def test_clips_smaller_than_the_crop_are_said_in_one_line(folder):
    with pytest.raises(InputError, match="no training clip of at least 64x64"):
        Batches(tiny_settings(folder, crop=(64, 64)), 0)
