"""Camera moves over a still photograph: motion whose every in-between frame is exact, for `footage.py`."""

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

SIZE, FRAMES = (480, 270), 25
"""Width and height, and the length, of a move."""


def move_camera(picture: Image.Image, generator: np.random.Generator) -> UInt8[np.ndarray, "f h w 3"]:
    """Return a smooth pan, zoom and slight turn over a photograph, without aliasing.

    The view is drawn at twice the size from a copy of the photograph reduced to about that sharpness, then averaged
    down. Speeds run from a crawl to about 8 pixels a frame; some moves shake as a hand does.
    """
    width, height = SIZE
    zoom = np.exp(generator.uniform(-0.25, 0.25))
    turn = np.deg2rad(generator.uniform(-4, 4)) * generator.integers(0, 2)
    widest = max(1, zoom) * 1.12  # a turned view needs some margin
    margin = widest * generator.uniform(1.2, 2.2)
    reduction = min(1.0, max(2 * width * margin / picture.width, 2 * height * margin / picture.height))
    kept = (round(picture.width * reduction), round(picture.height * reduction))
    small = picture.resize(kept, Image.Resampling.LANCZOS)
    view = min(2 * width, small.width / widest / 1.1, small.height / widest / 1.1 * width / height)
    ease = smooth_path(generator)
    sizes = view * zoom**ease
    room = np.array([small.width - view * widest, small.height - view * widest * height / width]) / 2
    reach = view / width * min(8.0, generator.exponential(2.5) + 0.3) * (FRAMES - 1)
    angle = generator.uniform(0, 2 * np.pi)
    travel = np.clip(np.array([np.cos(angle), np.sin(angle)]) * reach / 2, -room, room)
    slack = room - np.abs(travel)
    middle = np.array([small.width, small.height]) / 2 + generator.uniform(-slack, slack)
    centres = middle + (2 * ease[:, None] - 1) * travel
    if generator.uniform() < 0.4:
        phases = np.linspace(0, generator.uniform(2, 6), FRAMES)[:, None] * 2 * np.pi
        centres = centres + np.sin(phases + generator.uniform(0, 6, 2)) * view / width * generator.uniform(0.2, 1.5)
    views = zip(centres, sizes, turn * (ease - 0.5), strict=True)
    return np.stack([look(small, centre, size, float(angle)) for centre, size, angle in views])


def smooth_path(generator: np.random.Generator) -> Float[np.ndarray, "f"]:
    """Return a path from 0 to 1 that eases in and out by a random amount."""
    time = np.linspace(0, 1, FRAMES)
    amount = generator.uniform(0, 1)
    return (1 - amount) * time + amount * time**2 * (3 - 2 * time)


def look(picture: Image.Image, centre: np.ndarray, size: float, angle: float) -> UInt8[np.ndarray, "h w 3"]:
    """Return the view of `size` pixels width around a centre, turned by an angle in radians."""
    width, height = SIZE
    step = size / (2 * width)
    across, down = step * np.array([np.cos(angle), np.sin(angle)]), step * np.array([-np.sin(angle), np.cos(angle)])
    corner = centre - across * width - down * height
    affine = (across[0], down[0], corner[0], across[1], down[1], corner[1])
    double = picture.transform((2 * width, 2 * height), Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC)
    return np.asarray(double.reduce(2))
