"""A folder of clips, here or in a store: which of its files are meant, and what their outputs are called.

Outputs mirror the tree of the inputs and keep the container where it can hold the codec.
"""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from venhancer.errors import InputError
from venhancer.fleet.items import RECORD_SUFFIX, Item
from venhancer.fleet.stores import Store, Stored
from venhancer.media.source import failures_as
from venhancer.media.stills.numbering import PICTURE_NAMES, UNREAD_NAMES, pattern_of
from venhancer.media.writing.encoders import CODECS, PREFERRED
from venhancer.settings import EnhanceSettings

VIDEOS = {
    *(".3gp", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4"),
    *(".mpeg", ".mpg", ".mts", ".mxf", ".qt", ".ts", ".vob", ".webm", ".wmv"),
}
"""Names of videos: one that cannot be used has failed. A file of another name is a clip if it can be opened as one."""
PICTURES = {*PICTURE_NAMES, *UNREAD_NAMES} - {".webp"}
"""Names of pictures: they are passed over, for many of them are a clip together or no clip at all."""
A_PICTURE = "a picture; pass it by itself, or numbered pictures as FOLDER/%05d.png"
A_PROMPT = "the prompt of the clip beside it"
PROMPT_SUFFIX = ".txt"
ALIKE = {".m4v": ".mp4", ".qt": ".mov"}
HOLDS_ALL = ".mkv"


def list_folder(source: Store, out: Store, settings: EnhanceSettings) -> list[Item]:
    """Return the files of a folder and of those below it, in order, each with its place in the same tree below `out`.

    Hidden files, unfinished work, our own records and all below `out` are left out.

    Raises:
        InputError: there are none, or pictures only, or `out` is the folder itself.
        StoreFailed: the store does not answer.
    """
    if source.address == out.address or (source.is_local and out.is_local and _is_same(source, out)):
        raise InputError(f"{out.describe()} is the input folder; choose another folder for the outputs")
    files = dict(sorted(_files(source, out)))
    if not files:
        raise InputError(f"{source.describe()} contains no files; pass a folder of videos")
    if all(PurePosixPath(name).suffix.lower() in PICTURES for name in files):
        patterns = (pattern_of(Path(source.describe(name))) for name in files) if source.is_local else iter(())
        pattern = next(filter(None, patterns), f"{source.describe()}/%05d.png")
        numbered = f"pass numbered pictures as one clip, {pattern}, or pictures one by one"
        raise InputError(f"{source.describe()} contains pictures only; {numbered}")
    return [_make_item(name, stored, source, settings, files) for name, stored in files.items()]


def output_name(name: PurePosixPath, settings: EnhanceSettings) -> PurePosixPath:
    """Return what the output of a file is called: as the file, in its container if that can hold the codec."""
    suffix = name.suffix.lower()
    held = tuple(PREFERRED) if settings.codec is None else CODECS[settings.codec].suffixes
    same = ALIKE.get(suffix, suffix)
    if same in held:
        return name.with_suffix(name.suffix if same == suffix else same)
    ending = HOLDS_ALL if HOLDS_ALL in held else held[0]
    return name.with_suffix(ending) if suffix in VIDEOS else name.with_name(name.name + ending)


def _make_item(name: str, stored: Stored, source: Store, settings: EnhanceSettings, files: dict[str, Stored]) -> Item:
    path = PurePosixPath(name)
    suffix = path.suffix.lower()
    address = source.address_of(name)
    if suffix in PICTURES:
        return Item(name, address, "", stored=stored, skipped=A_PICTURE)
    if suffix == PROMPT_SUFFIX and any(path.with_suffix(video).as_posix() in files for video in VIDEOS):
        return Item(name, address, "", stored=stored, skipped=A_PROMPT)
    output = output_name(path, settings).as_posix()
    return Item(name, address, output, stored=stored, may_be_no_clip=suffix not in VIDEOS)


def _files(source: Store, out: Store) -> Iterator[tuple[str, Stored]]:
    if not source.is_local:
        below = f"{out.address}/"
        for name, stored in source.files().items():
            if all(map(_is_meant, PurePosixPath(name).parts)) and not source.address_of(name).startswith(below):
                yield name, stored
        return
    folder, leave_out = Path(source.root), Path(out.root).resolve() if out.is_local else None
    with failures_as(InputError, f"{source.describe()} cannot be read; check its permissions"):
        for parent, folders, files in os.walk(folder, onerror=_raise):
            folders[:] = [each for each in folders if _is_meant(each) and (Path(parent) / each).resolve() != leave_out]
            for each in filter(_is_meant, files):
                path = Path(parent) / each
                yield path.relative_to(folder).as_posix(), stored_here(path)


def stored_here(path: Path) -> Stored:
    """Return what is known of a file of this machine; nothing but that it is there, if it is a link to nowhere."""
    try:
        state = path.stat()
    except OSError:
        return Stored(0, "unreadable")
    return Stored(state.st_size, f"{state.st_size}-{state.st_mtime}")


def _is_same(one: Store, other: Store) -> bool:
    return Path(one.root).resolve() == Path(other.root).resolve()


def _is_meant(name: str) -> bool:
    return not name.startswith(".") and not name.endswith((".part", RECORD_SUFFIX))


def _raise(error: OSError) -> None:
    raise error
