"""Frames of clips of pictures by number, as `FrameDecoder` gives those of videos."""

from contextlib import ExitStack

import numpy as np
from av.video.frame import VideoFrame
from PIL import Image

from venhancer.errors import InputError
from venhancer.media.clip import ClipInfo
from venhancer.media.colour import Pixels
from venhancer.media.source import PICTURE_ERRORS
from venhancer.media.stills.numbering import Identities, Numbered, find_numbered, identities_of
from venhancer.media.stills.picture_clip import play
from venhancer.media.stills.profiles import to_srgb
from venhancer.media.stills.still import BROKEN, look, may_be_transparent, opened, read_pixels

FORMATS = {(3, 8): "rgb24", (4, 8): "rgba", (3, 16): "rgb48le", (4, 16): "rgba64le"}


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
