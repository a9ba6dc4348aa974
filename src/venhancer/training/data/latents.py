"""A cache of the high-quality side: every clip encoded once and kept, where encoding costs more than disk.

Only what does not change from draw to draw can be kept: crops from the centre, never mirrored, targets never degraded.
Encoders see one frame at a time, so a clip's frames are kept together and any stretch of them, skipped or backwards, is
taken from there. The low-quality side depends on what is drawn and is encoded on the fly.
"""

import hashlib
import json
import logging
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from venhancer.durable import write_whole
from venhancer.errors import InputError, JobFailed, SettingsError
from venhancer.frames.levels import to_pixels
from venhancer.jobs.origin import quick_fingerprint
from venhancer.media.source import failures_as
from venhancer.models.autoencoder import Autoencoder
from venhancer.progress import SILENT, Progress, track
from venhancer.training.data.clips import read_draw
from venhancer.training.data.draws import ClipDraws, Draw
from venhancer.training.data.manifest import ClipEntry

logger = logging.getLogger(__name__)

MADE_BY = "autoencoder.json"
AT_ONCE = 32
"""Frames read and encoded together."""


@dataclass(frozen=True, slots=True)
class LatentCache:
    """Latents by the content of a clip and its crop, one file each, in 16 bits.

    Args:
        folder: that holds them.
        footage: folder of the manifest, which paths of clips are relative to.
    """

    folder: Path
    footage: Path
    _fingerprints: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def read(self, draw: Draw) -> Float[Tensor, "c f h w"] | None:
        """Return the latents of a draw; None if its clip is not kept.

        Raises:
            InputError: the latents are damaged, or the clip's file cannot be read.
        """
        file = self.file(draw)
        if not file.exists():
            return None
        first, last = draw.numbers[0], draw.numbers[-1]
        try:
            with safe_open(file, "pt") as tensors:
                stretch = tensors.get_slice("latents")[first : last + 1]
        except (SafetensorError, OSError) as error:
            raise InputError(f"{file} is damaged ({error}); delete it and run the command again") from error
        latents = stretch[[number - first for number in draw.numbers]].float()
        return (latents.flip(0) if draw.reversed else latents).transpose(0, 1)

    def file(self, draw: Draw) -> Path:
        """Return where the latents of a draw's clip at its crop are kept: by the file's content, not by its name.

        Raises:
            InputError: the clip's file cannot be read.
        """
        entry = draw.entry
        footage = entry.shard or entry.path
        if footage not in self._fingerprints:
            self._fingerprints[footage] = quick_fingerprint(self.footage / footage)
        pixels = entry.model_dump_json(exclude={"path", "shard", "caption", "licence", "split", "source"})
        crop = (draw.size, draw.top, draw.left, draw.height, draw.width)
        clip = f"{self._fingerprints[footage]} {pixels} {crop}"
        key = hashlib.blake2b(clip.encode(), digest_size=16).hexdigest()
        return self.folder / key[:2] / f"{key}.safetensors"

    def belongs_to(self, vae: Autoencoder) -> None:
        """Note which autoencoder the latents are of.

        Raises:
            SettingsError: they are of another one.
            JobFailed: the folder cannot be written.
        """
        config = {name: value for name, value in vae.config.items() if not name.startswith("_")}
        digest = hashlib.blake2b(json.dumps(config, sort_keys=True, default=str).encode(), digest_size=16)
        for name, value in sorted(vae.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().float().contiguous().numpy().tobytes())
        made_by = json.dumps({"autoencoder": type(vae).__name__, "weights": digest.hexdigest()})
        note = self.folder / MADE_BY
        with failures_as(JobFailed, f"latent cache {self.folder} cannot be written; choose another folder"):
            if not note.exists():
                note.parent.mkdir(parents=True, exist_ok=True)
                write_whole(note, made_by)
            if note.read_text(encoding="utf-8") != made_by:
                raise SettingsError(f"{self.folder} holds another autoencoder's latents; set another latent_cache")


@torch.no_grad()
def fill_cache(
    cache: LatentCache,
    draws: ClipDraws,
    vae: Autoencoder,
    *,
    rank: int = 0,
    ranks: int = 1,
    progress: Progress = SILENT,
) -> int:
    """Encode the clips that are not kept yet and return how many that were; those that cannot be read are left out.

    Of several processes this one, of number `rank`, takes every `ranks`-th clip; the autoencoder runs where it is.

    Raises:
        SettingsError: the cache is of another autoencoder.
        JobFailed: the disk is full, or may not be written.
    """
    cache.belongs_to(vae)
    mine = draws.entries[rank::ranks]
    encoded = 0
    for entry in track(mine, len(mine), "encode clips", progress):
        whole = whole_clip(entry, draws)
        try:
            file = cache.file(whole)
            if file.exists():
                continue
            latents = _encode(whole, cache.footage, vae)
        except InputError as error:
            logger.warning("clip %s is not encoded: %s", entry.name, error)
            continue
        with failures_as(JobFailed, f"latents {file} cannot be written; free some space or set another latent_cache"):
            file.parent.mkdir(exist_ok=True)
            write_whole(file, save({"latents": latents}))
        encoded += 1
    return encoded


def whole_clip(entry: ClipEntry, draws: ClipDraws) -> Draw:
    """Return every frame of a clip at the crop that training uses."""
    still = draws.draw_from(entry, 1, torch.Generator())
    return replace(still, numbers=range(entry.frames), mirrored=False, reversed=False)


def _encode(whole: Draw, folder: Path, vae: Autoencoder) -> Float[Tensor, "f c h w"]:
    """Return the latents of a clip, in 16 bits; a few frames are held at a time."""
    parts = []
    for first in range(0, len(whole.numbers), AT_ONCE):
        frames = read_draw(replace(whole, numbers=whole.numbers[first : first + AT_ONCE]), folder)
        pixels = to_pixels(frames, vae.device)[None]
        parts.append(vae.encode_frames(pixels)[0].transpose(0, 1).half().cpu())
    return torch.cat(parts).contiguous()
