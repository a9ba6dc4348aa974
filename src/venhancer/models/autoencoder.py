"""Frames to latents and back: three autoencoders with the same two methods.

`encode_frames` gives the posterior's mode, scaled as the networks expect it, and `decode_frames` inverts it. The
published models use the image autoencoder of Stable Diffusion 2.1 (v1) or the one with a temporal decoder of Stable
Video Diffusion (v2); the embedded model uses a linear one, which costs next to nothing and loses next to nothing.
Weights and arithmetic are in the dtype the model was loaded in; frames come in and go out in float32. The published
ones code a clip in parts, a tile of a few frames, which need nothing of each other: several devices can share them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, pairwise
from typing import Any, Self, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import AutoencoderKLTemporalDecoder
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.models.modeling_utils import ModelMixin
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from venhancer.model_files.traits import DECODED_TOGETHER
from venhancer.models.sharing import Coding, Spread
from venhancer.windows import Fade, Tile, rising_weights, tile_weights


class LinearAutoencoder(ModelMixin, ConfigMixin):
    """Pixel patches as their principal components, or all of them overlapping: a strided convolution and its transpose.

    Args:
        patch: side of a patch, which is also the number of pixels per latent.
        latent_channels: components kept; 3 * patch^2 is the lossless lapped transform, see `lapped_basis`.

    Attributes:
        at_once: frames that are decoded together, which changes none of them.
        workers: other devices, which it leaves alone.
    """

    at_once: int = 1
    workers: Spread | None = None

    @register_to_config
    def __init__(self, *, patch: int = 4, latent_channels: int = 24) -> None:
        super().__init__()
        side = 2 * patch if latent_channels == 3 * patch**2 else patch
        self.basis = nn.Parameter(torch.zeros(latent_channels, 3, side, side))
        self.gain = nn.Parameter(torch.ones(latent_channels))

    @classmethod
    def fit(cls, frames: Float[Tensor, "n 3 h w"], *, patch: int, latent_channels: int) -> Self:
        """Return the autoencoder whose components explain most of these frames; each gets unit variance.

        Where all components are kept there is nothing to choose: it is the lapped transform, see `lapped_basis`, all
        channels with one gain. Grey has zeros in the last two thirds of its channels.

        Args:
            frames: pictures in [-1, 1]; height and width multiples of `patch`.
            patch: side of a patch.
            latent_channels: components to keep.
        """
        if latent_channels == 3 * patch**2:
            autoencoder = cls(patch=patch, latent_channels=latent_channels)
            autoencoder.basis.data, autoencoder.gain.data = lapped_basis(patch), autoencoder.gain.data / patch
            return autoencoder
        patches = rearrange(frames, "n c (h p) (w q) -> (n h w) (c p q)", p=patch, q=patch).double()
        variances, components = torch.linalg.eigh(patches.mT @ patches / len(patches))
        largest = slice(-latent_channels, None)
        basis = components[:, largest].mT.flip(0)
        basis = basis * torch.sign(basis.sum(dim=1, keepdim=True) + 1e-12)
        autoencoder = cls(patch=patch, latent_channels=latent_channels)
        autoencoder.basis.data = rearrange(basis.float(), "k (c p q) -> k c p q", p=patch, q=patch)
        autoencoder.gain.data = variances[largest].flip(0).clamp(min=1e-8).rsqrt().float()
        return autoencoder

    @property
    def is_lapped(self) -> bool:
        """Whether every component is kept; patches overlap then, which draws no borders between them."""
        return self.config["latent_channels"] == 3 * self.config["patch"] ** 2

    def encode_frames(
        self,
        frames: Float[Tensor, "b 3 f h w"],
        *,
        tiles: Sequence[Tile] = (),  # noqa: ARG002 - a picture is coded in no time and little memory
    ) -> Float[Tensor, "b c f h2 w2"]:
        """Return the latents of frames in [-1, 1]."""
        pictures = rearrange(frames, "b c f h w -> (b f) c h w").to(self.dtype)
        if self.is_lapped:
            pictures = _mirrored(pictures, self.config["patch"] // 2)
        latents = F.conv2d(pictures, self.basis, stride=self.config["patch"]) * self.gain[:, None, None]
        return rearrange(latents.float(), "(b f) c h w -> b c f h w", b=frames.shape[0])

    def decode_frames(
        self,
        latents: Float[Tensor, "b c f h w"],
        *,
        tiles: Sequence[Tile] = (),  # noqa: ARG002 - a picture is coded in no time and little memory
    ) -> Float[Tensor, "b 3 f h2 w2"]:
        """Return the frames of latents, about in [-1, 1]."""
        patch = self.config["patch"]
        components = rearrange(latents, "b c f h w -> (b f) c h w").to(self.dtype) / self.gain[:, None, None]
        margin = 0
        if self.is_lapped:  # the picture continues as its mirror image, in which odd cosines change their sign
            margin = patch + patch // 2
            signs = 1 - 2 * (torch.arange(patch, device=latents.device) % 2)
            down, across = signs.repeat_interleave(patch).repeat(3), signs.repeat(3 * patch)
            components = _mirrored(components, 1, down[:, None, None], across[:, None, None])
        frames = F.conv_transpose2d(components, self.basis, stride=patch, padding=margin)
        return rearrange(frames.float(), "(b f) c h w -> b c f h w", b=latents.shape[0])

    def decode_each(
        self,
        latents: Float[Tensor, "1 c f h w"],
        boundary: Tensor | None = None,  # noqa: ARG002 - as every autoencoder is called
        *,
        tiles: Sequence[Tile] = (),
    ) -> Iterator[Float[Tensor, "3 h2 w2"]]:
        """Yield the frames of one clip, one at a time; there is nothing to hold from earlier ones."""
        for part in latents.split(self.at_once, dim=2):
            yield from self.decode_frames(part, tiles=tiles)[0].unbind(1)


def lapped_basis(patch: int) -> Float[Tensor, "c 3 p2 p2"]:
    """Return the orthonormal lapped transform (Malvar 1992) of brightness and two colour differences, in this order.

    Its functions are twice as long as a patch and fade out, so that a wrong coefficient draws no border. It is a cosine
    transform after a rotation of what is odd about every border between two patches (Tran et al. 2003, eq. 12).
    """
    half, place = patch // 2, torch.arange(patch, dtype=torch.float64)
    cosines = torch.cos(torch.pi / patch * place[:, None] * (place + 0.5))
    cosines = cosines / cosines.norm(dim=1, keepdim=True)
    near = torch.arange(half, dtype=torch.float64)
    second = torch.cos(torch.pi / half * near[:, None] * (near + 0.5))
    second = second / second.norm(dim=1, keepdim=True)
    fourth = (2 / half) ** 0.5 * torch.cos(torch.pi / half * (near[:, None] + 0.5) * (near + 0.5))
    eye, flip = torch.eye(half, dtype=torch.float64), torch.eye(half, dtype=torch.float64).flip(0)
    butterfly = torch.cat([torch.cat([eye, flip], dim=1), torch.cat([flip, -eye], dim=1)]) / 2**0.5
    border = butterfly @ torch.block_diag(eye, flip @ second.mT @ fourth @ flip) @ butterfly
    functions = torch.zeros(patch, 2 * patch, dtype=torch.float64)
    functions[:, :patch] = cosines[:, :half] @ border[half:]
    functions[:, patch:] = cosines[:, half:] @ border[:half]
    colours = torch.tensor([[1, 1, 1], [1, 0, -1], [1, -2, 1]], dtype=torch.float64)
    colours = colours / colours.norm(dim=1, keepdim=True)
    basis = torch.einsum("kc,up,vq->kuvcpq", colours, functions, functions)
    return rearrange(basis, "k u v c p q -> (k u v) c p q").float().contiguous()


def _mirrored(x: Float[Tensor, "n c h w"], sides: int, down: Tensor | int = 1, across: Tensor | int = 1) -> Tensor:
    """Return pictures that go on as their mirror images, times a sign, beyond every border."""
    x = torch.cat([down * x[:, :, :sides].flip(2), x, down * x[:, :, -sides:].flip(2)], dim=2)
    return torch.cat([across * x[..., :sides].flip(3), x, across * x[..., -sides:].flip(3)], dim=3)


class InParts(ModelMixin, ConfigMixin):
    """What both published autoencoders do alike: parts are coded one after the other, or shared with other devices.

    Attributes:
        at_once: frames that are coded together where each is by itself, which changes none of them.
        workers: other devices that share the work; None where there are none.
    """

    at_once: int = 1
    workers: Spread | None = None
    encode: Callable[..., Any]
    decode: Callable[..., Any]
    decode_each: Callable[..., Iterator[Tensor]]

    def encode_frames(
        self, frames: Float[Tensor, "b 3 f h w"], *, tiles: Sequence[Tile] = ()
    ) -> Float[Tensor, "b c f h2 w2"]:
        """Return the latents of frames in [-1, 1]."""
        return mode_of(self.encode_posterior(frames, tiles=tiles))

    def encode_posterior(
        self, frames: Float[Tensor, "b 3 f h w"], *, tiles: Sequence[Tile] = ()
    ) -> Float[Tensor, "b c2 f h2 w2"]:
        """Return what frames in [-1, 1] are drawn from: mean and deviation as twice the channels, see `sample_of`."""
        pictures = rearrange(frames, "b c f h w -> (b f) c h w").to(self.dtype)
        coded = torch.cat(list(self._coded("encode", pictures.split(self.at_once), tiles)))
        return rearrange(coded * self.config["scaling_factor"], "(b f) c h w -> b c f h w", b=frames.shape[0])

    def decode_frames(
        self, latents: Float[Tensor, "b c f h w"], *, tiles: Sequence[Tile] = ()
    ) -> Float[Tensor, "b 3 f h2 w2"]:
        """Return the frames of latents, about in [-1, 1]."""
        clips = [torch.stack(list(self.decode_each(clip[None], tiles=tiles)), dim=1) for clip in latents]
        return torch.stack(clips)

    def code_part(self, coding: Coding, part: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c2 h2 w2"]:
        """Return a tile of pictures as means and deviations, or of latents as pictures; neither is scaled."""
        if coding == "decode":
            return self.decode(part, return_dict=False, **self._decoding(len(part)))[0].float()
        posterior: DiagonalGaussianDistribution = self.encode(part, return_dict=False)[0]
        return torch.cat([posterior.mean, posterior.std], dim=1).float()

    def _decoding(self, frames: int) -> dict[str, int]:  # noqa: ARG002 - for those with a sense of time
        """Return the options that so many frames are decoded with."""
        return {}

    def _unscaled(self, latents: Float[Tensor, "1 c f h w"]) -> Float[Tensor, "f c h w"]:
        return rearrange(latents[0], "c f h w -> f c h w").to(self.dtype) / self.config["scaling_factor"]

    def _coded(
        self,
        coding: Coding,
        parts: Iterable[Tensor],
        tiles: Sequence[Tile],
        feathers: Sequence[np.ndarray] | None = None,
    ) -> Iterator[Tensor]:
        """Yield each part coded, a tile at a time, feathered together where tiles overlap.

        Args:
            coding: which way.
            parts: whole pictures `n c h w`, or the latents of some; they may differ in number.
            tiles: in latents; none or one for no division.
            feathers: weights of the tiles in the result; linear if left out.
        """
        code, each = partial(self.code_part, coding), map
        if self.workers is not None:
            code, each = partial(self.workers.code, code, coding), self.workers.map
        if len(tiles) < 2:
            yield from each(code, parts)
            return
        pixels = 2 ** (len(self.config["block_out_channels"]) - 1)
        before, after = (pixels, 1) if coding == "encode" else (1, pixels)
        weights = feathers or tile_weights(tiles, after)
        coded = each(code, (part[tile.of(before)] for part in parts for tile in tiles))
        height, width = (after * max(side.stop for side in sides) for sides in zip(*tiles, strict=True))
        for first in coded:
            blended = first.new_zeros((*first.shape[:2], height, width))
            for tile, weight, one in zip(tiles, weights, chain([first], coded), strict=False):
                blended[tile.of(after)] += torch.as_tensor(weight, dtype=one.dtype, device=one.device) * one
            yield blended


class ImageAutoencoder(InParts, AutoencoderKL):
    """Stable Diffusion's autoencoder, which codes every frame by itself."""

    def decode_each(
        self,
        latents: Float[Tensor, "1 c f h w"],
        boundary: Tensor | None = None,  # noqa: ARG002 - as every autoencoder is called
        *,
        tiles: Sequence[Tile] = (),
    ) -> Iterator[Float[Tensor, "3 h2 w2"]]:
        """Yield the frames of one clip as they are done; there is nothing to hold from earlier ones."""
        for pictures in self._coded("decode", self._unscaled(latents).split(self.at_once), tiles):
            yield from pictures


class VideoAutoencoder(InParts, AutoencoderKLTemporalDecoder):
    """Stable Video Diffusion's autoencoder: frames are encoded alone and decoded together.

    A few frames are decoded at a time and neighbouring windows are cross-faded evenly; `venhancer.published` has the
    published program's windows, fades and tiles.

    Attributes:
        decode_window: frames decoded together, with a sense of time.
        decode_overlap: frames that two windows share.
    """

    decode_window, decode_overlap = DECODED_TOGETHER["VideoAutoencoder"]

    def decode_each(
        self,
        latents: Float[Tensor, "1 c f h w"],
        boundary: Float[Tensor, "n 3 h2 w2"] | None = None,
        *,
        tiles: Sequence[Tile] = (),
        feathers: Sequence[np.ndarray] | None = None,
        windows: Sequence[range] | None = None,
        fade: Fade = "even",
    ) -> Iterator[Float[Tensor, "3 h2 w2"]]:
        """Yield the frames of one clip as their windows are done.

        Args:
            latents: of the clip, or of its next part.
            boundary: the first frames as the window before made them: the last ones yielded for the part before, whose
                latents were its last ones too. They are cross-faded as between all windows.
            tiles: what of a picture is decoded at once.
            feathers: each tile's weights, one a pixel; linear if left out.
            windows: frames decoded together, each beginning within the one before; if left out, `decode_window` that
                share `decode_overlap`.
            fade: how neighbouring windows are blended.
        """
        unscaled = self._unscaled(latents)
        count, length = len(unscaled), self.decode_window
        if windows is None:
            firsts = range(0, max(count - self.decode_overlap, 1), length - self.decode_overlap)
            windows = [range(first, min(first + length, count)) for first in firsts]
        parts = (unscaled[window.start : window.stop] for window in windows)
        firsts = [window.start for window in windows]
        decoded = self._coded("decode", parts, tiles, feathers)
        for first, following in pairwise([*firsts, None]):
            assert first is not None
            frames = next(decoded)
            if boundary is not None:
                weights = torch.as_tensor(rising_weights(len(boundary), fade), dtype=frames.dtype, device=frames.device)
                blended = torch.lerp(boundary, frames[: len(boundary)], weights[:, None, None, None])
                frames = torch.cat([blended, frames[len(boundary) :]])
            done = len(frames) if following is None else following - first
            yield from frames[:done]
            boundary = frames[done:]

    def _decoding(self, frames: int) -> dict[str, int]:
        return {"num_frames": frames}


Autoencoder: TypeAlias = LinearAutoencoder | ImageAutoencoder | VideoAutoencoder


def mode_of(posterior: Float[Tensor, "b c2 f h w"]) -> Float[Tensor, "b c f h w"]:
    """Return the most likely latents of a posterior."""
    return posterior.chunk(2, dim=1)[0]


def sample_of(posterior: Float[Tensor, "b c2 f h w"], noise: Float[Tensor, "b c f h w"]) -> Float[Tensor, "b c f h w"]:
    """Return the latents that unit noise draws from a posterior."""
    mean, deviation = posterior.chunk(2, dim=1)
    return mean + deviation * noise
