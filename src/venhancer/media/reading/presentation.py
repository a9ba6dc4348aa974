"""How a file's pictures are to be shown: the visible part and the place of chroma.

PyAV has no names for either, but libav's own description of a file, which players print, tells both whatever the
container or codec: MP4's clean aperture and Matroska's cropping, H.264's and Matroska's notes on chroma.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple, get_args

from av.video.format import VideoFormat

from venhancer.media.colour import ChromaLocation
from venhancer.media.orientation import NO_BORDER, Border

NOTES = re.compile(rf"Video: .*\(.*?\b({'|'.join(get_args(ChromaLocation))})\), ")
PLACES: Mapping[tuple[str, bool], ChromaLocation] = {
    ("", True): "left", ("top", True): "topleft", ("bottom", True): "bottomleft",
    ("", False): "center", ("top", False): "top", ("bottom", False): "bottom",
}  # fmt: skip
CROPPING = re.compile(r"^ *Frame Cropping: (\d+)/(\d+)/(\d+)/(\d+)$", re.MULTILINE)  # left, right, above, below


class Presentation(NamedTuple):
    """How pictures are shown: without `border`, chroma at `chroma_location`."""

    border: Border
    chroma_location: ChromaLocation


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
    noted = NOTES.search(described)
    return Presentation(border, _usual(noted[1] if noted else "left", format_))


def _usual(location: str, format_: VideoFormat) -> ChromaLocation:
    """Return a place of chroma without what means nothing where there is a sample for every row or column."""
    row = "" if format_.chroma_height(2) == 2 else location.removesuffix("left").removesuffix("center")
    return PLACES[row, location.endswith("left") or format_.chroma_width(2) == 2]
