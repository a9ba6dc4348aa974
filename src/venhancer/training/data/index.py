"""A folder of films, arrays, pictures and tar shards to a manifest: `venhancer train index FOLDER`.

Every file is inspected once: probed, split at cuts, and rid of useless clips. A file that is damaged is
named, counted and left out, never fatal; the report says what became of everything.
"""

import json
import logging
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from venhancer.durable import written_whole
from venhancer.errors import InputError, JobFailed
from venhancer.fleet.folders import VIDEOS
from venhancer.media.source import failures_as
from venhancer.progress import SILENT, Progress, track
from venhancer.training.data.manifest import MANIFEST, ClipEntry, read_captions, write_manifest
from venhancer.training.data.shards import SIDECARS, pack, read_members
from venhancer.training.data.stretches import ARRAY, Stretches, find_stretches
from venhancer.training.settings import IndexSettings

logger = logging.getLogger(__name__)

PICTURES = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))
SHARD = ".tar"
MOVES, PACKED = "moves", "packed"
"""Folders beside the manifest, for camera moves and for shards."""


class Finding(NamedTuple):
    """The clips of one file, why others were left out, and what is wrong with the file."""

    clips: Sequence[ClipEntry] = ()
    left_out: Sequence[str] = ()
    damage: str = ""


Look = Callable[[Path], Finding]


class Place(NamedTuple):
    """The folder that is indexed, where camera moves go, and the pictures there are."""

    folder: Path
    moves: Path
    pictures: tuple[Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexReport:
    """What became of a folder.

    Args:
        manifest: the file written.
        clips: its entries.
        files: how many files were inspected.
        left_out: how many shots or files are no clips, by reason.
        damaged: unusable files, with the reason.
    """

    manifest: Path
    clips: Sequence[ClipEntry]
    files: int
    left_out: dict[str, int]
    damaged: dict[str, str]

    def describe(self) -> Iterator[tuple[str, str]]:
        """Yield labels and values."""
        frames = sum(clip.frames for clip in self.clips)
        hours = float(sum(clip.frames / clip.rate for clip in self.clips)) / 3600
        yield "files", f"{self.files:,}"
        yield "clips", f"{len(self.clips):,} of {frames:,} frames, {hours:.2f} hours"
        yield "captioned", f"{sum(bool(clip.caption) for clip in self.clips):,}"
        yield "rates", _counted(str(clip.rate) for clip in self.clips)
        yield "sizes", _counted(f"{clip.width}x{clip.height}" for clip in self.clips)
        yield "left out", ", ".join(f"{count:,} {reason}" for reason, count in self.left_out.items()) or "nothing"
        yield "damaged", f"{len(self.damaged):,} files" + (f": {', '.join(self.damaged)}" if self.damaged else "")


def index_folder(
    folder: Path,
    settings: IndexSettings,
    *,
    output: Path | None = None,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> IndexReport:
    """Write the manifest of a folder and everything below it, and return what became of it.

    It is `output`, or `manifest.jsonl` in the folder; an existing one is replaced only with `overwrite`.

    Raises:
        InputError: nothing there is usable, captions do not fit, or the manifest exists or cannot be written.
    """
    manifest = output or folder / MANIFEST
    _check(folder, manifest, overwrite=overwrite)
    files = find_files(folder, manifest.parent, settings)
    captions: dict[Path, str] = {}
    if settings.captions is not None:
        captions = dict(zip(files, read_captions(settings.captions, len(files), "files"), strict=True))
    pictures = tuple(file for file in files if file.suffix.lower() in PICTURES)
    look = partial(_look_at, place=Place(folder, manifest.parent / MOVES, pictures), settings=settings)
    with _mapper(settings.workers) as spread:
        findings = list(track(spread(look, files), len(files), "index", progress))
    damaged = {str(file): result.damage for file, result in zip(files, findings, strict=True) if result.damage}
    for damage in damaged.values():
        logger.warning("left out: %s", damage)
    left_out = dict(Counter(reason for result in findings for reason in result.left_out).most_common())
    clips = [
        _placed(clip, manifest.parent, captions.get(file), settings)
        for file, result in zip(files, findings, strict=True)
        for clip in result.clips
    ]
    if not clips:
        raise InputError(_nothing(folder, files, left_out, damaged))
    if settings.shard_size is not None:
        plain = [clip for clip in clips if clip.shard is None]
        packed = pack(plain, manifest.parent, PACKED, settings.shard_size)
        clips = [*(clip for clip in clips if clip.shard is not None), *packed]
    write_manifest(manifest, clips)
    return IndexReport(manifest=manifest, clips=clips, files=len(files), left_out=left_out, damaged=damaged)


def find_files(folder: Path, output: Path, settings: IndexSettings) -> list[Path]:
    """Return the files of a folder that may hold clips, in order of name; what was made of them earlier is left out."""
    outputs = (output / MOVES, output / PACKED)
    kinds = {*VIDEOS, ARRAY, SHARD, *(PICTURES if settings.moves else ())}
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in kinds
        and path.is_file()
        and not any(path.is_relative_to(own) for own in outputs)
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _check(folder: Path, manifest: Path, *, overwrite: bool) -> None:
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; pass one with videos, pictures, arrays or tar shards")
    if manifest.is_dir():
        raise InputError(f"--output {manifest} is a folder; pass a file such as {manifest / MANIFEST}")
    if manifest.exists() and not overwrite:
        raise InputError(f"{manifest} exists; pass --overwrite or choose another --output")


def _look_at(file: Path, *, place: Place, settings: IndexSettings) -> Finding:
    """Return what one file gives; its clips carry absolute paths."""
    suffix = file.suffix.lower()
    try:
        if suffix == SHARD:
            return _in_shard(file, settings)
        beside = {kind: file.with_suffix(kind) for kind in SIDECARS}
        with failures_as(InputError, f"the caption file of {file} cannot be read"):
            sidecars = {kind: path.read_bytes() for kind, path in beside.items() if path.is_file()}
        texts = _read_sidecars(sidecars, str(file))
        if suffix in PICTURES:
            stretches = _from_picture(file, place, settings)
        else:
            stretches = find_stretches(file, settings)
            texts["path"] = str(file.resolve())
        return Finding([clip.model_copy(update=texts) for clip in stretches.clips], stretches.left_out)
    except InputError as error:
        return Finding(damage=str(error))


def _in_shard(shard: Path, settings: IndexSettings) -> Finding:
    """Return the clips of the members of a shard, each written out for a moment to be probed."""
    clips: list[ClipEntry] = []
    left_out: list[str] = []
    damage: list[str] = []
    members = read_members(shard, (*VIDEOS, ARRAY))
    with shard.open("rb") as file, tempfile.TemporaryDirectory() as folder:
        for member in members:
            alone = Path(folder) / f"member{PurePosixPath(member.name).suffix.lower()}"
            file.seek(member.offset)
            with failures_as(JobFailed, f"{member.name} of {shard} cannot be unpacked; free some space in {folder}"):
                alone.write_bytes(file.read(member.size))
            try:
                texts = _read_sidecars(member.sidecars, f"{shard}/{member.name}")
                stretches = find_stretches(alone, settings)
            except InputError as error:
                damage.append(str(error).replace(str(alone), f"{shard}/{member.name}"))
                continue
            place = {"shard": str(shard.resolve()), "path": member.name, "offset": member.offset, "bytes": member.size}
            clips.extend(clip.model_copy(update=texts | place) for clip in stretches.clips)
            left_out.extend(stretches.left_out)
    return Finding(clips, left_out, "; ".join(damage))


def _from_picture(file: Path, place: Place, settings: IndexSettings) -> Stretches:
    """Return the camera moves over a picture, written as arrays into the folder for them."""
    from venhancer.training.data.camera import render_moves  # Pillow, which only this needs

    name = str(file.relative_to(place.folder))
    key = zlib.crc32(name.encode())
    others = [picture for picture in place.pictures if picture != file]
    width, height = settings.move_size
    clips: list[ClipEntry] = []
    for number, frames in enumerate(render_moves(file, settings, key, others)):
        target = place.moves / f"{file.stem}_{key:08x}_{number:03d}{ARRAY}"
        with failures_as(JobFailed, f"camera move {target} cannot be written; free some space"):
            target.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(target) as partial, partial.open("wb") as content:
                np.save(content, frames)
        clips.append(
            ClipEntry(
                path=str(target.resolve()),
                frames=len(frames),
                rate=settings.rate,
                width=width,
                height=height,
                source=f"camera move over {name}",
            )
        )
    return Stretches(clips, [] if clips else ["tiny"])


def _read_sidecars(sidecars: dict[str, bytes], clip: str) -> dict[str, str]:
    """Return the facts in `clip.json` or `clip.txt` beside a clip; unknown keys are ignored.

    Raises:
        InputError: they cannot be read.
    """
    try:
        texts = json.loads(sidecars.get(".json", b"{}"))
        text = " ".join(sidecars.get(".txt", b"").decode("utf-8").split())
    except ValueError as error:
        raise InputError(f"the caption file of {clip} cannot be read ({error}); write UTF-8 text or JSON") from error
    if not isinstance(texts, dict):
        raise InputError(f'the .json of {clip} is not an object; write {{"caption": "..."}}')
    ours = {name: texts[name] for name in ("caption", "licence", "source") if name in texts}
    if wrong := [name for name, value in ours.items() if not isinstance(value, str)]:
        raise InputError(f"{wrong[0]} in the .json of {clip} is not text; put it in quotes")
    return ({"caption": text} if text else {}) | ours


def _placed(clip: ClipEntry, folder: Path, caption: str | None, settings: IndexSettings) -> ClipEntry:
    """Return a clip with its path as the manifest has it, and with what the settings say of all clips."""
    name = "shard" if clip.shard else "path"
    place = Path(getattr(clip, name))
    inside = place.is_relative_to(folder.resolve())
    update: dict[str, object] = {name: str(place.relative_to(folder.resolve()) if inside else place)}
    update |= {"split": settings.split, "licence": clip.licence or settings.licence}
    return clip.model_copy(update=update if caption is None else update | {"caption": caption})


@contextmanager
def _mapper(workers: int) -> Iterator[Callable[[Look, Sequence[Path]], Iterator[Finding]]]:
    """Provide `map`, or the same over processes."""
    if workers == 1:
        yield map
        return
    with ProcessPoolExecutor(workers) as pool:
        yield pool.map


def _nothing(folder: Path, files: Sequence[Path], left_out: dict[str, int], damaged: dict[str, str]) -> str:
    """Say why a folder gives no clip."""
    if not files:
        return f"{folder} contains no video, picture, array or tar shard; pass another folder"
    if damaged and not left_out:
        first = next(iter(damaged.values()))
        return f"all {len(files)} files in {folder} are damaged; the first: {first}"
    counts = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
    counts += f", {len(damaged)} damaged" if damaged else ""
    return f"no clip in {folder} passes the limits ({counts}); see `venhancer train index --help`"


def _counted(names: Iterable[str]) -> str:
    """Return the most frequent names with how often each comes."""
    common = [f"{name} ({count:,})" for name, count in Counter(names).most_common()]
    return ", ".join(common[:5]) + (f" and {len(common) - 5} others" if len(common) > 5 else "")
