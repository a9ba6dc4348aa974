"""Still pictures to the camera moves that training uses them as."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from venhancer.errors import InputError
from venhancer.media.source import open_picture
from venhancer.training.data.camera import move_camera
from venhancer.training.data.index_settings import IndexSettings


def read_picture(file: Path) -> Image.Image:
    """Return a picture as RGB, upright.

    Raises:
        InputError: damaged, or no picture.
    """
    with open_picture(file) as picture:
        return ImageOps.exif_transpose(picture).convert("RGB")


def render_moves(
    file: Path, settings: IndexSettings, key: int, others: Sequence[Path]
) -> Iterator[UInt8[np.ndarray, "f h w 3"]]:
    """Yield the camera moves over a picture, none if it is smaller than they are to be.

    Args:
        file: of the picture.
        settings: how many moves, and their size.
        key: what makes them others than those of another picture.
        others: pictures that pieces passing in front are taken from; a mirrored one of its own if there are none.

    Raises:
        InputError: the picture is damaged.
    """
    picture = read_picture(file)
    width, height = settings.move_size
    if picture.width < width or picture.height < height:
        return
    for number in range(settings.moves):
        generator = np.random.default_rng([key, number])
        has_depth = generator.uniform() < settings.parallax_share
        front = _draw_front(picture, others, generator) if has_depth else None
        yield move_camera(picture, generator, size=settings.move_size, frames=settings.move_frames, front=front)


def _draw_front(picture: Image.Image, others: Sequence[Path], generator: np.random.Generator) -> Image.Image:
    chosen = int(generator.integers(0, max(1, len(others))))
    try:
        return read_picture(others[chosen]) if others else ImageOps.mirror(picture)
    except InputError:  # named when its own turn comes
        return ImageOps.mirror(picture)
