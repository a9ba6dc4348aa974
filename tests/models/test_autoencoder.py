"""Frames to latents and back."""

import pytest
import torch
from torch.testing import assert_close

from venhancer.model_files.traits import load_traits
from venhancer.models import ImageAutoencoder, LinearAutoencoder, VideoAutoencoder
from venhancer.windows import Tile, split_tiles

SMALL = {"block_out_channels": (8, 8), "layers_per_block": 1, "norm_num_groups": 4, "latent_channels": 4}


def frames(count: int = 3, height: int = 16, width: int = 24) -> torch.Tensor:
    smooth = torch.randn(2, 3, count, height // 4, width // 4, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(smooth, size=(count, height, width), mode="trilinear").clamp(-1, 1)


def fitted(channels: int) -> LinearAutoencoder:
    pictures = frames(8, 32, 32).movedim(2, 1).flatten(0, 1)
    return LinearAutoencoder.fit(pictures, patch=4, latent_channels=channels)


def test_linear_autoencoder_with_all_components_is_lossless():
    clip = frames()
    vae = fitted(48)
    with torch.no_grad():
        latents = vae.encode_frames(clip)
        assert latents.shape == (2, 48, 3, 4, 6)
        assert_close(vae.decode_frames(latents), clip, atol=1e-4, rtol=0)


def test_linear_autoencoder_keeps_the_largest_components():
    """Fewer channels are the first of more, and lose more."""
    clip = frames()
    errors = []
    with torch.no_grad():
        for channels in (4, 12, 24):
            vae = fitted(channels)
            errors.append(float((vae.decode_frames(vae.encode_frames(clip)) - clip).abs().mean()))
            assert_close(vae.basis, fitted(47).basis[:channels])
    assert errors == sorted(errors, reverse=True)


def test_linear_latents_have_unit_variance():
    pictures = frames(8, 32, 32)
    with torch.no_grad():
        latents = fitted(12).encode_frames(pictures)
    assert_close(latents.square().mean(dim=(0, 2, 3, 4)), torch.ones(12), atol=1e-2, rtol=0)


def test_image_autoencoder_encodes_the_scaled_mode_frame_by_frame():
    vae = ImageAutoencoder(
        **SMALL, down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2
    )
    clip = frames()
    with torch.no_grad():
        latents = vae.encode_frames(clip)
        mode = vae.encode(clip[1, :, 2][None]).latent_dist.mode() * vae.config.scaling_factor
        assert_close(latents[1, :, 2], mode[0])
        decoded = vae.decode_frames(latents)
        assert_close(decoded[0, :, 1], vae.decode(latents[0, :, 1][None] / vae.config.scaling_factor).sample[0])


@pytest.mark.parametrize("tiled", [False, True])
def test_frames_coded_at_once_are_those_coded_one_by_one(tiled):
    image = ImageAutoencoder(
        **SMALL, down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2
    )
    clip = frames(5, 32, 64)[:1]
    tiles = [Tile(range(16), columns) for columns in split_tiles(32, 20, 8, 1)] if tiled else []
    for vae in (image, temporal_autoencoder()):
        with torch.no_grad():
            single = vae.encode_frames(clip, tiles=tiles)
            vae.at_once = 2
            assert_close(vae.encode_frames(clip, tiles=tiles), single)
            decoded = torch.stack(list(vae.decode_each(single, tiles=tiles)), dim=1)
            vae.at_once = 1
            assert_close(decoded, torch.stack(list(vae.decode_each(single, tiles=tiles)), dim=1))


def temporal_autoencoder() -> VideoAutoencoder:
    return VideoAutoencoder(
        block_out_channels=(32, 32), layers_per_block=1, latent_channels=4, down_block_types=("DownEncoderBlock2D",) * 2
    )


def test_video_autoencoder_decodes_any_number_of_frames():
    vae = temporal_autoencoder()
    with torch.no_grad():
        for count in (1, 4, 5, 6, 9):
            clip = frames(count)
            assert vae.decode_frames(vae.encode_frames(clip)).shape == clip.shape


def test_video_autoencoder_within_one_window_decodes_as_the_library_does():
    vae = temporal_autoencoder()
    clip = frames(4)
    with torch.no_grad():
        latents = vae.encode_frames(clip)
        direct = vae.decode(latents[0].movedim(1, 0) / vae.config.scaling_factor, num_frames=4).sample
        assert_close(vae.decode_frames(latents)[0].movedim(1, 0), direct)


def test_video_autoencoder_decodes_a_clip_in_parts_as_in_one():
    vae = temporal_autoencoder()
    traits = load_traits("v2")
    with torch.no_grad():
        latents = vae.encode_frames(frames(13)[:1])
        whole = list(vae.decode_each(latents))
        parts, held, start = [], None, 0
        for stop in (5, 10, 11):
            ready = traits.decodable(start, stop)
            part = list(vae.decode_each(latents[:, :, start : ready + traits.decode_overlap], held))
            parts += part[: ready - start]
            held, start = torch.stack(part[ready - start :]), ready
        parts += vae.decode_each(latents[:, :, start:], held)
    assert_close(torch.stack(parts), torch.stack(whole))


@pytest.mark.parametrize("make", [lambda: ImageAutoencoder(**SMALL), temporal_autoencoder])
def test_tiles_are_much_like_the_whole_picture_and_whole_where_they_cover_it(make):
    torch.manual_seed(0)
    vae = make()
    clip = frames(3, 64, 96)[:1]
    tiles = [Tile(rows, columns) for rows in split_tiles(32, 20, 8, 1) for columns in split_tiles(48, 28, 8, 1)]
    whole = [Tile(range(32), range(48))]
    assert len(tiles) == 4
    with torch.no_grad():
        latents = vae.encode_frames(clip)
        pictures = torch.stack(list(vae.decode_each(latents)))
        assert torch.equal(vae.encode_frames(clip, tiles=whole), latents)
        tiled = vae.encode_frames(clip, tiles=tiles)
        assert tiled.shape == latents.shape
        assert 0 < (tiled - latents).std() < 0.3 * latents.std()  # statistics of a tile are not those of the picture
        decoded = torch.stack(list(vae.decode_each(latents, tiles=tiles)))
        assert decoded.shape == pictures.shape
        assert 0 < (decoded - pictures).std() < 0.3 * pictures.std()
