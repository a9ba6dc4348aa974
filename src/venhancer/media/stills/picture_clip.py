"""Clips of pictures and their frames by number: one still, numbered ones, or an animation that libav does not read.

Every picture is inspected: all must be of one size, and one that is transparent anywhere makes the clip so. Pictures
that cannot be transparent are not decoded for that.
"""

from array import array
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame
from PIL import Image

from venhancer.errors import InputError
from venhancer.media.clip import ClipInfo, Kind
from venhancer.media.colour import Pixels, matrix_of_size
from venhancer.media.limits import read_limits
from venhancer.media.source import PICTURE_ERRORS, Identity, identity_of
from venhancer.media.stills.numbering import Identities, Numbered, find_numbered, identities_of, is_pattern
from venhancer.media.stills.profiles import to_srgb
from venhancer.media.stills.still import (
    BROKEN,
    FURTHER,
    Look,
    is_transparent,
    look,
    may_be_transparent,
    opened,
    quiet,
    read_pixels,
)
from venhancer.media.timing import Timing, find_timing

PICTURE_RATE = Fraction(24)
"""Frames a second of pictures, which store none."""

TICK = Fraction(1, 1_000_000)  # seconds: WebP counts in milliseconds, animated PNG in fractions
UNSAID = 100_000  # ticks that a frame is shown whose duration is 0: what browsers do
JPEG_AFTER_JPEG = b"\xff\xd9\xff\xd8\xff"
AT_A_TIME = 1 << 20
FORMATS = {(3, 8): "rgb24", (4, 8): "rgba", (3, 16): "rgb48le", (4, 16): "rgba64le"}


@dataclass(frozen=True, slots=True)
class _Seen:
    """What looking at all pictures found."""

    first: Look
    depth: int
    has_alpha: bool
    not_kept: tuple[str, ...]


def probe_pictures(path: Path) -> ClipInfo:
    """Return what the clip at `path` is: a picture, an animation, or numbered pictures by their pattern.

    Raises:
        InputError: they cannot be read, are not of one size, one is missing, or they are more than the limits allow.
    """
    if is_pattern(path):
        pictures = find_numbered(path)
        identities = identities_of(pictures)
        seen = _look_at_all(pictures, [identities.of(number) for number in range(pictures.count)])
        return _describe(path, "numbered", seen, _even(pictures.count), identities.together)
    identity = identity_of(path)
    with opened(path, identity) as (picture, file):
        first = look(picture, file, path)
        if first.frames > 1 and picture is not None:
            return _describe(path, "animation", *_play(picture, first, path), identity)
        further = (FURTHER,) if _has_another_after(path, first) else ()
        has_alpha = is_transparent(read_pixels(picture, file, first, path))
    seen = _Seen(first, first.depth, has_alpha, (*first.not_kept, *further))
    return _describe(path, "still", seen, _even(1), identity)


class PictureDecoder:
    """The stored pictures of a clip; each must be the one that was probed.

    Args:
        clip: as probed.
    """

    def __init__(self, clip: ClipInfo) -> None:
        self.clip = clip
        self._opened = ExitStack()
        self._animation: Image.Image | None = None
        self._pictures: tuple[Numbered, Identities] | None = None

    def close(self) -> None:
        """Close the file; another `frame` opens it again."""
        self._animation, self._pictures = None, None
        self._opened.close()

    def frame(self, number: int) -> VideoFrame:
        """Return the frame of this number; of animations, numbers that ascend cost least.

        Raises:
            InputError: a picture changed, or is damaged or missing; the message names it.
        """
        pixels = self._animated(number) if self.clip.kind == "animation" else self._picture(number)
        if self.clip.depth > 8 and pixels.dtype == np.uint8:
            pixels = pixels.astype(np.uint16) * 257
        return VideoFrame.from_ndarray(np.ascontiguousarray(pixels), FORMATS[pixels.shape[-1], 8 * pixels.itemsize])

    def _picture(self, number: int) -> Pixels:
        clip = self.clip
        path, identity = clip.path, clip.identity
        if clip.kind == "numbered":
            pictures, identities = self._pictures = self._pictures or self._find()
            path, identity = pictures.path(number), identities.of(number)
        with opened(path, identity) as (picture, file):
            return self._checked(read_pixels(picture, file, look(picture, file, path), path), number)

    def _find(self) -> tuple[Numbered, Identities]:
        pictures = find_numbered(self.clip.path)
        identities = identities_of(pictures)
        if self.clip.identity not in (None, identities.together):
            raise InputError(f"{self.clip.path}: pictures have changed since they were inspected; try again")
        return pictures, identities

    def _animated(self, number: int) -> Pixels:
        clip = self.clip
        if self._animation is None:
            self._animation, _ = self._opened.enter_context(opened(clip.path, clip.identity))
        assert self._animation is not None
        try:
            shown = play(self._animation, number)
        except (*BROKEN, *PICTURE_ERRORS) as error:
            raise InputError(f"{clip.path}: frame {number} is damaged ({error}); copy the file again") from error
        profile = shown.info.get("icc_profile")
        return self._checked(np.asarray(to_srgb(shown, profile, with_alpha=may_be_transparent(shown))), number)

    def _checked(self, pixels: Pixels, number: int) -> Pixels:
        clip = self.clip
        stored = (clip.width, clip.height) if clip.orientation.is_transposed else (clip.height, clip.width)
        if pixels.shape[:2] != stored:
            raise InputError(f"{clip.path}: frame {number} has changed its size; try again")
        return pixels


def play(picture: Image.Image, number: int) -> Image.Image:
    """Return an opened animation at one of its frames, decoded; numbers that ascend cost least."""
    with quiet():
        picture.seek(number + bool(picture.info.get("default_image")))
        picture.load()
    return picture


def check_alike(later: Look, first: Look, path: Path, first_path: Path) -> None:
    """Raise InputError unless two pictures can be frames of one clip."""
    if later.frames > 1:
        raise InputError(f"{path} is an animation; pass it by itself, not as a numbered picture")
    if (later.width, later.height) != (first.width, first.height):
        sizes = f"{later.width}x{later.height}, and {first_path.name} is {first.width}x{first.height}"
        raise InputError(f"{path} is {sizes}; convert all pictures to one size")
    if later.orientation != first.orientation:
        raise InputError(f"{path} has another rotation than {first_path.name}; rotate all pictures upright first")
    if (later.color_primaries, later.color_transfer) != (first.color_primaries, first.color_transfer):
        raise InputError(f"{path} has another colour format than {first_path.name}; convert all pictures to one")


def _look_at_all(pictures: Numbered, identities: list[Identity]) -> _Seen:
    first, depth, has_alpha, not_kept = None, 8, False, {}
    for path, identity in zip(pictures.paths(), identities, strict=True):
        with opened(path, identity) as (picture, file):
            still = look(picture, file, path)
            first = first or still
            check_alike(still, first, path, pictures.path(0))
            if still.may_be_transparent and not has_alpha:
                has_alpha = is_transparent(read_pixels(picture, file, still, path))
        depth = max(depth, still.depth)
        not_kept |= dict.fromkeys(still.not_kept)
    assert first is not None
    return _Seen(first, depth, has_alpha, tuple(not_kept))


def _play(picture: Image.Image, first: Look, path: Path) -> tuple[_Seen, Timing]:
    """Return what all frames of an animation are, and when they are shown."""
    limits = read_limits()
    limits.check_length(first.frames, 0, path)
    times, now, last, has_alpha = array("q"), 0, 0, False
    for number in range(first.frames):
        frame = play(picture, number)
        last = round(frame.info.get("duration", 0) * 1000) or UNSAID
        times.append(now)
        now += last
        limits.check_length(number, float(now * TICK), path)
        if may_be_transparent(frame) and not has_alpha:
            has_alpha = is_transparent(np.asarray(frame.convert("RGBA")))
    timing = find_timing(times, TICK, last, [], path)
    return _Seen(first, 8, has_alpha, _with_timing(first.not_kept, timing)), timing


def _with_timing(not_kept: tuple[str, ...], timing: Timing) -> tuple[str, ...]:
    return not_kept if timing.timestamps is None else (*not_kept, "variable frame timing")


def _even(frames: int) -> Timing:
    return Timing(frames, PICTURE_RATE, frames / PICTURE_RATE, Fraction(0), None, Fraction(1), Fraction(0))


def _describe(path: Path, kind: Kind, seen: _Seen, timing: Timing, identity: Identity) -> ClipInfo:
    first = seen.first
    width, height = first.width, first.height
    if first.orientation.is_transposed:
        width, height = height, width
    return ClipInfo(
        path=path,
        width=width,
        height=height,
        codec=first.codec,
        pixel_format="rgb48le" if seen.depth > 8 else "rgb24",
        color_matrix=matrix_of_size(first.height),
        full_range=True,
        sample_aspect_ratio=Fraction(1),
        has_audio=False,
        not_kept=seen.not_kept,
        orientation=first.orientation,
        identity=identity,
        depth=16 if seen.depth > 8 else 8,
        color_primaries=first.color_primaries,
        color_transfer=first.color_transfer,
        has_alpha=seen.has_alpha,
        kind=kind,
        **asdict(timing),
    )


def _has_another_after(path: Path, first: Look) -> bool:
    """Tell whether a JPEG is followed by another one, as in films that are nothing but JPEGs."""
    if first.codec != "jpeg" or any(words.startswith(FURTHER) for words in first.not_kept):
        return False
    return any(JPEG_AFTER_JPEG in part for part in _overlapping(path))


def _overlapping(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file in parts that share a few."""
    tail = b""
    with path.open("rb") as file:
        while part := file.read(AT_A_TIME):
            yield tail + part
            tail = part[-len(JPEG_AFTER_JPEG) :]
