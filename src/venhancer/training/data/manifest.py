"""The manifest: which clips there are to train on, one JSON line each, read strictly.

`venhancer train index` writes it (`training/data/index.py`), `recipes/footage.py` too, and everything that trains reads
it from here. An entry says where its pixels are, which frames of them it is, and all that is needed to reach those
frames without looking at the rest of the file.
"""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

from venhancer.durable import write_whole
from venhancer.errors import InputError
from venhancer.media.colour import COLORSPACES, ChromaLocation
from venhancer.media.orientation import EXIF, NO_BORDER, Border, Orientation
from venhancer.media.source import failures_as
from venhancer.settings import LARGEST_RATE, parse_ratio

MANIFEST = "manifest.jsonl"

Ratio = Annotated[Fraction, BeforeValidator(parse_ratio), PlainSerializer(str)]


def _known_matrix(name: str) -> str:
    if name not in COLORSPACES:
        raise ValueError(f"must be one of {', '.join(COLORSPACES)}")
    return name


class ClipEntry(BaseModel):
    """One clip: an uncut stretch of a video file, of a prepared array, or of either inside a tar shard."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(
        min_length=1,
        description="Video file or `.npy` array (f h w 3, eight bits), relative to the manifest's folder; "
        "with a shard, the name inside it.",
    )
    shard: str | None = Field(default=None, description="Tar file that holds it, relative to the manifest's folder.")
    offset: int = Field(default=0, ge=0, description="Where its bytes begin in the shard.")
    bytes: int = Field(default=0, ge=0, description="How many bytes it has in the shard.")
    start: int = Field(default=0, ge=0, description="First frame of the clip, counted from the first of the file.")
    frames: int = Field(ge=1, description="Frames of the clip.")
    rate: Annotated[Ratio, Field(gt=0, le=LARGEST_RATE)] = Field(
        description='Exact frames a second, such as "24" or "30000/1001".'
    )
    width: int = Field(ge=1, description="Width in pixels, as shown.")
    height: int = Field(ge=1, description="Height in pixels, as shown.")
    caption: str = Field(default="", description="What the clip shows.")
    licence: str = Field(default="", description="Terms the pixels may be used under.")
    split: str = Field(default="train", min_length=1, description="What it is for: train, or held_out of training.")
    source: str = Field(default="", description="Where it comes from, in words.")
    begin: Ratio = Field(default=Fraction(0), description="Seconds on the file's clock at which frame 0 is shown.")
    color_matrix: Annotated[str, BeforeValidator(_known_matrix)] = Field(
        default="bt709", description="Colour matrix of a video file."
    )
    full_range: bool = Field(default=False, description="Whether a video file uses 0..255 instead of 16..235.")
    mirrored: bool = Field(default=False, description="Whether a video file is mirrored left and right to be shown.")
    rotation: Literal[0, 90, 180, 270] = Field(
        default=0, description="Degrees anticlockwise by which a video file is turned after that."
    )
    border: Border = Field(
        default=NO_BORDER,
        description="Pixels of a video file that are not shown: above, below, left and right, before turning.",
    )
    chroma_location: ChromaLocation = Field(
        default="left", description="Where chroma of a video file lies if it has fewer samples than luma."
    )

    @property
    def orientation(self) -> Orientation:
        """How stored pictures are turned to be shown."""
        return next(one for one in EXIF.values() if (one.is_mirrored, one.rotation) == (self.mirrored, self.rotation))

    @property
    def name(self) -> str:
        """The clip in words, for logs: file, shard and first frame."""
        place = f"{self.shard}/{self.path}" if self.shard else self.path
        return f"{place} from frame {self.start}" if self.start else place

    def to_line(self) -> str:
        """Return the entry as its line of a manifest, without default values."""
        return self.model_dump_json(exclude_defaults=True)


def find_manifest(path: Path) -> Path:
    """Return the manifest that a path means: itself, or `manifest.jsonl` in a folder.

    Raises:
        InputError: there is none.
    """
    manifest = path / MANIFEST if path.is_dir() else path
    if not manifest.is_file():
        raise InputError(f"manifest {manifest} does not exist; make one with `venhancer train index FOLDER`")
    return manifest


def read_manifest(manifest: Path, split: str | None = None) -> list[ClipEntry]:
    """Return the clips of a manifest, in its order; of one split only if it is given.

    Raises:
        InputError: missing, unreadable, empty, without a clip of this split, or with a wrong line, which is named.
    """
    try:
        lines = manifest.read_text(encoding="utf-8").split("\n")  # a caption may hold other ends of lines
    except (OSError, UnicodeDecodeError) as error:
        remedy = "make it with `venhancer train index`"
        raise InputError(f"manifest {manifest} cannot be read ({error}); {remedy}") from error
    entries = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                entries.append(ClipEntry.model_validate_json(line))
            except ValidationError as error:
                raise InputError(f"{manifest}, line {number}: {_mistake(error)}") from error
    if not entries:
        raise InputError(f"manifest {manifest} is empty; make one with `venhancer train index` from a folder of clips")
    clips = [entry for entry in entries if split in (None, entry.split)]
    if not clips:
        present = ", ".join(sorted({entry.split for entry in entries}))
        raise InputError(f"{manifest} has no clip of split {split!r}; it has {present}")
    return clips


def write_manifest(manifest: Path, entries: Iterable[ClipEntry]) -> None:
    """Write a manifest, whole or not at all.

    Raises:
        InputError: it cannot be written there.
    """
    with failures_as(InputError, f"manifest {manifest} cannot be written; choose another --output"):
        manifest.parent.mkdir(parents=True, exist_ok=True)
        write_whole(manifest, "".join(f"{entry.to_line()}\n" for entry in entries))


def read_captions(file: Path, count: int, of_what: str) -> list[str]:
    """Return the captions in a text file of UTF-8, one a line; an empty line is an empty caption.

    Raises:
        InputError: unreadable, or not `count` lines, one for each `of_what`.
    """
    try:
        captions = [line.strip() for line in file.read_text(encoding="utf-8").removesuffix("\n").split("\n")]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"captions {file} cannot be read ({error}); use UTF-8 text with one caption per line"
        ) from error
    if len(captions) != count:
        raise InputError(
            f"{file} has {len(captions)} captions for {count} {of_what}; write one line for each, in order"
        )
    return captions


def _mistake(error: ValidationError) -> str:
    """Return in a few words what is wrong with a line."""
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "json_invalid":
        return "is not a JSON object; remove or rewrite it"
    if first["type"] == "extra_forbidden":
        return f"{name} is not a field of a clip; fields are {', '.join(ClipEntry.model_fields)}"
    if first["type"] == "missing":
        return f"{name} is missing; index the folder again with `venhancer train index`"
    reason = first.get("ctx", {}).get("error") if first["type"] == "value_error" else first["msg"].lower()
    return f"{name} is {first['input']!r}: {reason}"
