"""The high-quality side, encoded once."""

import logging
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from training.prepared import make_clips, moving_pattern, tiny_settings
from venhancer.errors import InputError, JobFailed, SettingsError
from venhancer.media.orientation import Border
from venhancer.models import LinearAutoencoder
from venhancer.training.data.batches import Batches, fill_latent_cache, load_batches, stack_examples
from venhancer.training.data.latents import LatentCache
from venhancer.training.loop import train
from venhancer.training.settings import TrainSettings


def cached(folder: Path, **changes: object) -> TrainSettings:
    data = {"manifest": folder / "clips", "crop_from": "centre", "mirrored_share": 0, "latent_cache": folder / "cache"}
    plain = {"degraded_share": 0.5}
    return tiny_settings(folder, **({"data": data, "augment": plain} | changes))


def an_autoencoder(seed: int = 0) -> LinearAutoencoder:
    pictures = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return LinearAutoencoder.fit(pictures, patch=4, latent_channels=8)


@pytest.fixture
def folder(tmp_path):
    make_clips(tmp_path / "clips")
    return tmp_path


def files_in(folder: Path) -> list[Path]:
    return sorted((folder / "cache").rglob("*.safetensors"))


def test_what_is_kept_is_what_encoding_gives(folder):
    """Any stretch of a clip, forwards and backwards."""
    settings, vae = cached(folder, batch_size=2), an_autoencoder()
    fill_latent_cache(settings, vae)
    batches = Batches(settings)
    for step in range(12):
        group = batches.group(step, 0)
        assert group.target_latents.shape == (2, 8, group.target.shape[2], 10, 8)
        assert_close(group.target_latents, vae.encode_frames(group.target), atol=2e-3, rtol=2e-3)


def test_a_cache_changes_nothing_else(folder):
    settings = cached(folder)
    before = Batches(settings).group(3, 0)
    assert before.target_latents is None
    fill_latent_cache(settings, an_autoencoder())
    after = Batches(settings).group(3, 0)
    assert torch.equal(before.target, after.target)
    assert torch.equal(before.key_frames, after.key_frames)


def test_skipped_frames_come_from_the_same_file(folder):
    settings = cached(folder)
    faster = settings.data.model_copy(update={"fps": 12})
    settings, vae = settings.model_copy(update={"data": faster}), an_autoencoder()
    fill_latent_cache(settings, vae)
    group = Batches(settings).group(0, 0)
    assert_close(group.target_latents, vae.encode_frames(group.target), atol=2e-3, rtol=2e-3)


def test_processes_share_the_work_and_nothing_is_done_twice(folder):
    settings, vae = cached(folder), an_autoencoder()
    fill_latent_cache(settings, vae, rank=1, ranks=2)
    (first,) = files_in(folder)
    made = first.stat().st_mtime_ns
    fill_latent_cache(settings, vae, rank=0, ranks=2)
    assert len(files_in(folder)) == 2
    assert first.stat().st_mtime_ns == made


def test_without_a_cache_nothing_is_written(folder):
    fill_latent_cache(tiny_settings(folder), an_autoencoder())
    assert not (folder / "cache").exists()


def test_another_autoencoder_is_refused(folder):
    fill_latent_cache(cached(folder), an_autoencoder())
    with pytest.raises(SettingsError, match="holds another autoencoder's latents; set another latent_cache"):
        fill_latent_cache(cached(folder), an_autoencoder(1))


def test_damaged_clips_are_left_out(folder, caplog):
    (folder / "clips" / "clip_0.npy").write_bytes(b"no array")
    with caplog.at_level(logging.WARNING):
        fill_latent_cache(cached(folder), an_autoencoder())
    assert len(files_in(folder)) == 1
    assert "clip_0.npy is not encoded" in caplog.text
    stream = load_batches(cached(folder, steps=4), 0)
    assert all(group.target_latents is not None for group in stream)


def test_a_damaged_file_is_said_in_one_line(folder):
    settings = cached(folder)
    fill_latent_cache(settings, an_autoencoder())
    file = files_in(folder)[0]
    file.write_bytes(file.read_bytes()[:90])
    batches = Batches(settings)
    draws = (batches.draws.draw_from(entry, 3, torch.Generator()) for entry in batches.draws.entries)
    draw = next(draw for draw in draws if batches.cache.file(draw) == file)
    with pytest.raises(InputError, match=r"is damaged .*; delete it and run the command again") as raised:
        batches.cache.read(draw)
    assert "\n" not in str(raised.value)


def test_a_folder_that_cannot_be_written_is_said_in_one_line(folder):
    (folder / "cache").write_text("in the way")
    with pytest.raises(JobFailed, match=r"latent cache .* cannot be written"):
        fill_latent_cache(cached(folder), an_autoencoder())


def test_a_batch_without_all_latents_has_none(folder):
    settings = cached(folder)
    fill_latent_cache(settings, an_autoencoder())
    example = Batches(settings).group(0, 0)
    assert stack_examples([example, example]).target_latents is not None
    assert stack_examples([example, example._replace(target_latents=None)]).target_latents is None


def assert_latents_are_of_the_targets(settings: TrainSettings, vae: LinearAutoencoder) -> None:
    fill_latent_cache(settings, vae)
    group = Batches(settings).group(0, 0)
    assert_close(group.target_latents, vae.encode_frames(group.target), atol=2e-3, rtol=2e-3)


def test_footage_made_anew_in_place_is_encoded_anew(folder):
    settings, vae = cached(folder), an_autoencoder()
    assert_latents_are_of_the_targets(settings, vae)
    for number in range(2):
        np.save(folder / "clips" / f"clip_{number}.npy", moving_pattern(12, 48, phase=7 + number))
    assert_latents_are_of_the_targets(settings, vae)


def test_two_data_sets_may_share_a_cache(folder):
    """Whose manifests name files alike; the same clips elsewhere are encoded once."""
    settings, vae = cached(folder), an_autoencoder()
    assert_latents_are_of_the_targets(settings, vae)
    make_clips(folder / "others")
    for number in range(2):
        np.save(folder / "others" / f"clip_{number}.npy", moving_pattern(12, 48, phase=20 + number))
    others = settings.data.model_copy(update={"manifest": folder / "others"})
    assert_latents_are_of_the_targets(settings.model_copy(update={"data": others}), vae)
    assert len(files_in(folder)) == 4
    shutil.copytree(folder / "clips", folder / "copy")
    copy = settings.data.model_copy(update={"manifest": folder / "copy"})
    assert_latents_are_of_the_targets(settings.model_copy(update={"data": copy}), vae)
    assert len(files_in(folder)) == 4


def test_the_same_file_read_in_another_way_is_encoded_anew(folder):
    cache, batches = LatentCache(folder / "cache", folder / "clips"), Batches(cached(folder))
    draw = batches.draws.draw_from(batches.draws.entries[0], 2, torch.Generator())
    changes = {"full_range": True, "color_matrix": "smpte170m", "begin": Fraction(1, 24), "rotation": 90, "start": 1}
    changes |= {"mirrored": True, "border": Border(0, 2, 0, 0), "chroma_location": "center"}
    entries = [draw.entry, *(draw.entry.model_copy(update={name: value}) for name, value in changes.items())]
    assert len({cache.file(replace(draw, entry=entry)) for entry in entries}) == len(entries)
    renamed = draw.entry.model_copy(update={"caption": "other words", "licence": "CC0"})
    assert cache.file(replace(draw, entry=renamed)) == cache.file(draw)


def test_crops_do_not_share_a_file(folder):
    cache = LatentCache(folder / "cache", folder / "clips")
    draws = [Batches(cached(folder, crop=crop)).draws for crop in ((40, 32), (32, 32))]
    files = {cache.file(one.draw_from(one.entries[0], 2, torch.Generator())) for one in draws}
    assert len(files) == 2


def test_a_run_fills_its_cache_and_trains_from_it(folder):
    made = train(cached(folder, steps=2))
    assert made.is_dir()
    assert len(files_in(folder)) == 2
