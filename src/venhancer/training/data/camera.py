"""Camera moves over still pictures: motion whose every in-between frame is exact, which compressed film has not.

A move pans, zooms, turns slightly and sometimes shakes as a hand does. With a second picture there is depth: a piece of
it with a soft, irregular outline passes in front, faster, so that things are covered and uncovered. Everything is a
function of the pictures and a generator.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps

from venhancer.errors import InputError
from venhancer.media.source import open_picture
from venhancer.training.settings import IndexSettings

MARGIN = 1.12
"""A turned view needs some room around it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Where the camera looks in a picture, frame by frame.

    Args:
        centres: of the view, across and down, in the picture's pixels.
        widths: of the view, in the picture's pixels.
        angles: by which the view is turned, in radians.
    """

    centres: Float[np.ndarray, "f 2"]
    widths: Float[np.ndarray, "f"]
    angles: Float[np.ndarray, "f"]

    def nearer(self, closeness: float, centre: Float[np.ndarray, "2"], scale: float) -> "Move":
        """Return the move as it looks to something nearer: the same way, faster, around another point.

        Args:
            closeness: how many times faster.
            centre: what the middle of the move looks at, in the other picture's pixels.
            scale: pixels of the other picture to one of this.
        """
        middle, typical = self.centres.mean(axis=0), float(np.exp(np.log(self.widths).mean()))
        return Move(
            centres=centre + (self.centres - middle) * closeness * scale,
            widths=typical * scale * (self.widths / typical) ** closeness,
            angles=self.angles,
        )


def move_camera(
    picture: Image.Image,
    generator: np.random.Generator,
    *,
    size: tuple[int, int] = (480, 270),
    frames: int = 25,
    front: Image.Image | None = None,
) -> UInt8[np.ndarray, "f h w 3"]:
    """Return a smooth move over a picture, without aliasing.

    Views are drawn at twice the size from a copy of the picture reduced to about that sharpness, then averaged down.
    Speeds run from a crawl to about 8 pixels a frame.

    Args:
        picture: RGB; at least as large as `size` looks best.
        generator: draws the move.
        size: width and height of the clip, in pixels.
        frames: its length.
        front: RGB; a piece of it passes in front.
    """
    small, move = draw_move(picture, generator, size, frames)
    views = [look(small, move, number, size) for number in range(frames)]
    if front is not None:
        layer, near = _draw_layer(front, move, generator, size)
        for number, view in enumerate(views):
            piece = look(layer, near, number, size)
            views[number] = Image.composite(piece.convert("RGB"), view, piece.getchannel("A"))
    return np.stack([np.asarray(view) for view in views])


def draw_move(
    picture: Image.Image, generator: np.random.Generator, size: tuple[int, int], frames: int
) -> tuple[Image.Image, Move]:
    """Return a reduced copy of a picture and a move that stays inside it."""
    width, height = size
    zoom = np.exp(generator.uniform(-0.25, 0.25))
    turn = np.deg2rad(generator.uniform(-4, 4)) * generator.integers(0, 2)
    widest = max(1, zoom) * MARGIN
    margin = widest * generator.uniform(1.2, 2.2)
    reduction = min(1.0, max(2 * width * margin / picture.width, 2 * height * margin / picture.height))
    reduced = (round(picture.width * reduction), round(picture.height * reduction))
    small = picture.resize(reduced, Image.Resampling.LANCZOS)
    view = min(2 * width, small.width / widest / 1.1, small.height / widest / 1.1 * width / height)
    ease = smooth_path(generator, frames)
    room = np.array([small.width - view * widest, small.height - view * widest * height / width]) / 2
    reach = view / width * min(8.0, generator.exponential(2.5) + 0.3) * (frames - 1)
    angle = generator.uniform(0, 2 * np.pi)
    travel = np.clip(np.array([np.cos(angle), np.sin(angle)]) * reach / 2, -room, room)
    slack = room - np.abs(travel)
    middle = np.array([small.width, small.height]) / 2 + generator.uniform(-slack, slack)
    centres = middle + (2 * ease[:, None] - 1) * travel
    if generator.uniform() < 0.4:
        phases = np.linspace(0, generator.uniform(2, 6), frames)[:, None] * 2 * np.pi
        centres = centres + np.sin(phases + generator.uniform(0, 6, 2)) * view / width * generator.uniform(0.2, 1.5)
    return small, Move(centres=centres, widths=view * zoom**ease, angles=turn * (ease - 0.5))


def smooth_path(generator: np.random.Generator, frames: int) -> Float[np.ndarray, "f"]:
    """Return a path from 0 to 1 that eases in and out by a random amount."""
    time = np.linspace(0, 1, frames)
    amount = generator.uniform(0, 1)
    return (1 - amount) * time + amount * time**2 * (3 - 2 * time)


def look(picture: Image.Image, move: Move, number: int, size: tuple[int, int]) -> Image.Image:
    """Return the camera's view of a picture in frame `number`; outside the picture, nothing."""
    width, height = size
    step = move.widths[number] / (2 * width)
    cosine, sine = np.cos(move.angles[number]), np.sin(move.angles[number])
    across, down = step * np.array([cosine, sine]), step * np.array([-sine, cosine])
    corner = move.centres[number] - across * width - down * height
    affine = (across[0], down[0], corner[0], across[1], down[1], corner[1])
    double = picture.transform((2 * width, 2 * height), Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC)
    return double.reduce(2)


def _draw_layer(
    front: Image.Image, move: Move, generator: np.random.Generator, size: tuple[int, int]
) -> tuple[Image.Image, Move]:
    """Return a piece of a picture with its outline as alpha, and its move, from 1.4 to 3 times as fast."""
    typical = float(np.exp(np.log(move.widths).mean()))
    scale = min(1.0, front.width / typical, front.height / typical * size[0] / size[1])
    view = np.array([typical, typical * size[1] / size[0]]) * scale
    inside = np.array([front.width, front.height]) - view
    corner = generator.uniform(0, 1, 2) * np.maximum(inside, 0)
    left, top = corner.round().astype(int).tolist()
    right, bottom = (corner + view).round().astype(int).tolist()
    piece = front.crop((left, top, right, bottom)).convert("RGB")
    piece.putalpha(Image.fromarray(draw_outline(generator, (piece.width, piece.height))))
    where = view * generator.uniform(0.35, 0.65, 2)
    return piece, move.nearer(float(generator.uniform(1.4, 3)), where, scale)


def draw_outline(generator: np.random.Generator, size: tuple[int, int]) -> UInt8[np.ndarray, "h w"]:
    """Return an opaque shape (255) on nothing (0): a disc of wandering radius, about half as high as the picture."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    across, down = x + 0.5 - width / 2, y + 0.5 - height / 2
    angle = np.arctan2(down, across)
    radius = height * generator.uniform(0.17, 0.33)
    wander = np.zeros_like(angle)
    for waves in range(2, 7):
        wander += generator.uniform(-0.5, 0.5) / waves * np.sin(waves * angle + generator.uniform(0, 2 * np.pi))
    distance = np.hypot(across, down) - radius * (1 + wander)
    softness = generator.uniform(1, 3)
    return np.clip(255 * (0.5 - distance / softness), 0, 255).astype(np.uint8)


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

    `key` makes them others than those of another picture. Pieces that pass in front are taken from `others`, or from
    the picture's own mirror image if there are none.

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
    number = int(generator.integers(0, max(1, len(others))))
    with suppress(InputError, IndexError):  # a damaged one is named when its own turn comes
        return read_picture(others[number])
    return ImageOps.mirror(picture)
