"""What a file says of its pictures that PyAV has no names for: the visible part, the place of chroma, what is lost.

Most of it is in libav's own description of a file, which players print for any container and codec: MP4's clean
aperture, Matroska's cropping, chroma location, Dolby Vision. What changes from picture to picture is side data of each,
and content credentials (C2PA) have their own box.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, get_args

import av.logging
from av.container import InputContainer
from av.sidedata.sidedata import Type
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

from venhancer.errors import InputError
from venhancer.media.colour import ChromaLocation
from venhancer.media.orientation import NO_BORDER, Border

DOLBY = re.compile(r"DOVI configuration record: .*?profile: (\d+),.* compatibility id: (\d+)")
BASED = (4, 7, 8, 9)  # profiles of Dolby Vision whose pictures are SDR, HDR10 or HLG, despite an old record
STATIC = (Type.MASTERING_DISPLAY_METADATA, Type.CONTENT_LIGHT_LEVEL, Type.AMBIENT_VIEWING_ENVIRONMENT)
BESIDE = {  # side data of a picture
    "mastering display and light level data": STATIC,
    "HDR10+ scene data": (Type.DYNAMIC_HDR_PLUS,),
    "HDR Vivid scene data": (Type.DYNAMIC_HDR_VIVID,),
}
VIEWS = {"spherical": "360-degree view data", "stereo ?3d": "stereo 3D data"}
CHROMA_NOTE = re.compile(rf"Video: .*\(.*?\b({'|'.join(get_args(ChromaLocation))})\), ")
CHROMA_PLACES: Mapping[tuple[str, bool], ChromaLocation] = {
    ("", True): "left", ("top", True): "topleft", ("bottom", True): "bottomleft",
    ("", False): "center", ("top", False): "top", ("bottom", False): "bottom",
}  # fmt: skip
CROPPING = re.compile(r"^ *Frame Cropping: (\d+)/(\d+)/(\d+)/(\d+)$", re.MULTILINE)  # left, right, above, below
C2PA = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")  # the type of its box (C2PA 2.1, A.5)


class Presentation(NamedTuple):
    """How pictures are shown: without `border`, chroma at `chroma_location`."""

    border: Border
    chroma_location: ChromaLocation


def describe_stream(container: InputContainer, index: int) -> str:
    """Return libav's description of a stream of a container that is not being decoded."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.VERBOSE)
    av.logging.set_libav_level(av.logging.VERBOSE)
    try:
        described: str = container.dumps_format()  # pyright: ignore[reportAttributeAccessIssue] - PyAV's types lack it
    finally:
        av.logging.set_libav_level(av.logging.INFO)
        av.logging.set_level(level)
    parts = re.split(r"^ *Stream #0:(\d+)", described, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True)).get(str(index), "")


def light_not_kept(described: str, frame: VideoFrame, name: object) -> Iterator[str]:
    """Yield, in words, a stream's data on light and views that an output does not get.

    Args:
        described: the stream, by libav.
        frame: of it.
        name: of the file, for the error.

    Raises:
        InputError: the pictures are in colours that only Dolby Vision's decoders know.
    """
    dolby = DOLBY.search(described)
    if dolby and dolby[2] == "0" and int(dolby[1]) not in BASED:
        what = f"{name} is Dolby Vision profile {dolby[1]}, whose colours only its own decoder knows"
        raise InputError(f"{what}; convert it to HDR10 or SDR first, or export it as profile 8")
    if dolby or Type.DOVI_RPU_BUFFER in frame.side_data or Type.DOVI_METADATA in frame.side_data:
        profile = f" profile {dolby[1]}" if dolby else ""
        yield f"Dolby Vision{profile}; the base pictures are kept"
    for words, kinds in BESIDE.items():
        if any(kind in frame.side_data for kind in kinds):
            yield words
    for word, words in VIEWS.items():
        if re.search(rf"^ *{word}.*?: ", described, re.MULTILINE | re.IGNORECASE):
            yield words


def presentation_of(described: str, format_: VideoFormat) -> Presentation:
    """Return how pictures are shown; untagged chroma lies at the left, as in video.

    Args:
        described: their stream, by libav.
        format_: of its pictures.
    """
    border = NO_BORDER
    if sides := CROPPING.search(described):
        left, right, above, below = map(int, sides.groups())
        border = Border(above, below, left, right)
    noted = CHROMA_NOTE.search(described)
    return Presentation(border, _usual(noted[1] if noted else "left", format_))


def _usual(location: str, format_: VideoFormat) -> ChromaLocation:
    """Return a place of chroma without what means nothing where there is a sample for every row or column."""
    row = "" if format_.chroma_height(2) == 2 else location.removesuffix("left").removesuffix("center")
    return CHROMA_PLACES[row, location.endswith("left") or format_.chroma_width(2) == 2]


def has_credentials(path: Path) -> bool:
    """Tell whether a movie of boxes (ISO/IEC 14496-12) holds content credentials, which no changed file can keep."""
    place, size = 0, path.stat().st_size
    with path.open("rb") as file:
        while place + 8 <= size:
            file.seek(place)
            head = file.read(32)
            length, kind = int.from_bytes(head[:4], "big"), head[4:8]
            extended = 8 if length == 1 else 0
            length = int.from_bytes(head[8:16], "big") if extended else length
            if kind == b"uuid" and head[8 + extended : 24 + extended] == C2PA:
                return True
            if length < 8:  # 0 stands for all the rest
                return False
            place += length
    return False
