"""Tar shards: many clips in few large files, which network disks and object stores like better.

A shard is laid out as WebDataset's programs expect, files of one clip side by side under one name (`000012.mp4`,
`000012.txt`), so that both can read the other's. The manifest knows where each clip's bytes lie, so that any clip is
reached at once and the order of a training run does not depend on how clips were packed.
"""

import io
import tarfile
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from venhancer.durable import written_whole
from venhancer.errors import InputError
from venhancer.media.source import failures_as
from venhancer.training.data.manifest import ClipEntry

SIDECARS = (".json", ".txt")
MEGABYTE = 10**6


class Member(NamedTuple):
    """One file of a shard that holds pictures, with the sidecars of its name by their extension."""

    name: str
    offset: int
    size: int
    sidecars: dict[str, bytes]


def read_members(shard: Path, suffixes: Collection[str]) -> list[Member]:
    """Return the members of a shard with one of these extensions, in its order.

    Raises:
        InputError: no tar file, or a damaged or compressed one.
    """
    try:
        with tarfile.open(shard, "r:") as tar:
            infos = {info: PurePosixPath(info.name).suffix.lower() for info in tar if info.isfile()}
            sidecars: dict[str, dict[str, bytes]] = defaultdict(dict)
            for info, suffix in infos.items():
                if suffix in SIDECARS and (content := tar.extractfile(info)) is not None:
                    sidecars[_key(info.name)][suffix] = content.read()
    except (tarfile.TarError, OSError) as error:
        raise InputError(f"{shard} is damaged or not an uncompressed tar file ({error}); pack it again") from error
    return [
        Member(info.name, info.offset_data, info.size, sidecars.get(_key(info.name), {}))
        for info, suffix in infos.items()
        if suffix in suffixes
    ]


def pack(entries: Sequence[ClipEntry], folder: Path, place: str, megabytes: int) -> Iterator[ClipEntry]:
    """Write the files of plain entries into shards and yield the entries as they are found there.

    Args:
        entries: clips of one file side by side; such a file is packed once.
        folder: of the manifest, which paths are relative to.
        place: folder in it for `shard_000000.tar` and so on.
        megabytes: a shard is closed when it is this large.

    Raises:
        InputError: the folder cannot be written.
    """
    files = [list(clips) for _, clips in groupby(entries, key=lambda entry: entry.path)]
    number, count = 0, 0
    while count < len(files):
        shard = folder / place / f"shard_{number:06d}.tar"
        with failures_as(InputError, f"shard {shard} cannot be written; free some space"):
            shard.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(shard) as partial, tarfile.open(partial, "w") as tar:
                first = count
                while count < len(files) and (count == first or tar.offset < megabytes * MEGABYTE):
                    _add(tar, count, files[count], folder)
                    count += 1
        suffixes = {Path(clips[0].path).suffix.lower() for clips in files[first:count]}
        members = {_key(member.name): member for member in read_members(shard, suffixes)}
        for file in range(first, count):
            member = members[f"{file:09d}"]
            name = f"{place}/{shard.name}"
            at = {"shard": name, "path": member.name, "offset": member.offset, "bytes": member.size}
            yield from (entry.model_copy(update=at) for entry in files[file])
        number += 1


def _add(tar: tarfile.TarFile, number: int, clips: list[ClipEntry], folder: Path) -> None:
    """Add a file and its sidecars under its number."""
    path = folder / clips[0].path
    tar.add(path, f"{number:09d}{path.suffix.lower()}", filter=_without_owner)
    captions = list(dict.fromkeys(clip.caption for clip in clips if clip.caption))
    lines = "[" + ", ".join(clip.to_line() for clip in clips) + "]"
    texts = {".txt": "\n".join(captions), ".json": '{"clips": ' + lines + "}"}
    for suffix, text in texts.items():
        if text:
            content = text.encode()
            info = tarfile.TarInfo(f"{number:09d}{suffix}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def _without_owner(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Return a member's head without whose file it was and when, so that the same clips give the same bytes."""
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    info.mode = 0o644
    return info


def _key(name: str) -> str:
    """Return what the files of one clip have in common: everything up to the first dot of the last part."""
    path = PurePosixPath(name)
    return str(path.with_name(path.name.partition(".")[0]))
