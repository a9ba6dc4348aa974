"""Data on light that encoders here do not get, and Dolby Vision whose pictures need its own decoder.

What a stream says stands in libav's own description of it, which PyAV has no names for; what changes from picture to
picture lies beside each.
"""

import re
from collections.abc import Iterator

import av.logging
from av.container import InputContainer
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame

from venhancer.errors import InputError

DOLBY = re.compile(r"DOVI configuration record: .*?profile: (\d+),.* compatibility id: (\d+)")
BASED = (4, 7, 8, 9)  # profiles of Dolby Vision whose pictures are SDR, HDR10 or HLG, despite an old record
STATIC = (Type.MASTERING_DISPLAY_METADATA, Type.CONTENT_LIGHT_LEVEL, Type.AMBIENT_VIEWING_ENVIRONMENT)
BESIDE = {  # side data of a picture
    "mastering display and light level data": STATIC,
    "HDR10+ scene data": (Type.DYNAMIC_HDR_PLUS,),
    "HDR Vivid scene data": (Type.DYNAMIC_HDR_VIVID,),
}
VIEWS = {"spherical": "360-degree view data", "stereo ?3d": "stereo 3D data"}


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
