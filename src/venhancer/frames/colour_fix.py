"""The input's colours given back to enhanced frames.

Diffusion shifts colours a little, and not in every window alike. What is right about an input frame is its low
frequencies, so those are kept of each key frame, as a coarse picture of a few hundred cells; an enhanced frame keeps
its own detail and takes the low frequencies of its key frame, or between two key frames a blend of theirs.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from venhancer.settings import ColorFix

CELL = 32
"""Pixels of the output, on each side, that are one of a coarse picture; or 8 of the input if those are more."""

Coarse = Float[Tensor, "3 y x"]


class Colours:
    """The colours that the frames of one segment should have.

    Args:
        how: see `fix_colours`.
        size: of coarse pictures.
        carried: what the segment before it in the same shot handed on, or anything else without its names.
    """

    def __init__(self, how: ColorFix, size: tuple[int, int], carried: Mapping[str, Tensor]) -> None:
        self._how: ColorFix = how
        self._size = size
        references = (
            zip(carried["colours_of"].tolist(), carried["colours"], strict=True) if "colours" in carried else ()
        )
        self._references: dict[int, Coarse] = dict(references)

    def note(self, keys: Sequence[int], pictures: Iterable[Float[Tensor, "3 h w"]]) -> Iterator[Float[Tensor, "3 h w"]]:
        """Yield the input frames behind the key frames of these numbers, having noted their colours."""
        for index, picture in zip(keys, pictures, strict=True):
            if self._how != "none":
                self._references[index] = coarse(picture, self._size)
            yield picture

    def fix(self, index: int, picture: Float[Tensor, "3 h w"]) -> Float[Tensor, "3 h w"]:
        """Return an output frame with the colours it should have."""
        reference = reference_at(index, self._references)
        return picture if reference is None else fix_colours(picture, reference, self._how)

    def carry(self, start: int) -> dict[str, Tensor]:
        """Return what the segment that begins at frame `start` needs: the last reference up to there and all after."""
        last = max((index for index in self._references if index <= start), default=start)
        needed = [index for index in sorted(self._references) if index >= last]
        if not needed:
            return {}
        return {
            "colours": torch.stack([self._references[index] for index in needed]),
            "colours_of": torch.tensor(needed),
        }


def coarse_size(height: int, width: int, input_height: int, input_width: int) -> tuple[int, int]:
    """Return rows and columns of the coarse pictures of an output.

    >>> coarse_size(720, 1280, 180, 320)
    (23, 40)
    """
    cells = (-(-height // CELL), -(-width // CELL))
    return max(1, min(cells[0], input_height // 8)), max(1, min(cells[1], input_width // 8))


def coarse(picture: Float[Tensor, "3 h w"], size: tuple[int, int]) -> Coarse:
    """Return a picture's low frequencies: the mean colour of every cell."""
    return F.interpolate(picture[None].float(), size=size, mode="area")[0]


def reference_at(index: int, references: Mapping[int, Coarse]) -> Coarse | None:
    """Return the low frequencies that an output frame should have.

    Args:
        index: of the output frame.
        references: coarse pictures of the inputs behind key frames, by the key frames' numbers; of one shot only.
            Before the first and after the last the nearest is held.
    """
    keys = sorted(references)
    if not keys:
        return None
    after = bisect_right(keys, index)
    before, following = keys[max(0, after - 1)], keys[min(after, len(keys) - 1)]
    if following <= index or before >= following:
        return references[before]
    return torch.lerp(references[before], references[following], (index - before) / (following - before))


def fix_colours(picture: Float[Tensor, "3 h w"], reference: Coarse, how: ColorFix) -> Float[Tensor, "3 h w"]:
    """Return a picture with the colours of its reference.

    Args:
        picture: enhanced.
        reference: low frequencies of what it was made from.
        how: wavelet exchanges the low frequencies at every place; adain brings only mean and spread of each channel,
            over the whole picture, to the reference's; none leaves it as it is.
    """
    if how == "none":
        return picture
    reference = reference.to(picture.device)
    _, rows, columns = reference.shape
    own = coarse(picture, (rows, columns))
    if how == "wavelet":
        shift = F.interpolate((reference - own)[None], size=picture.shape[1:], mode="bilinear", align_corners=False)[0]
        return picture + shift.to(picture.dtype)
    (own_spread, own_mean), (spread, mean) = (
        torch.std_mean(each, dim=(1, 2), correction=0, keepdim=True) for each in (own, reference)
    )
    gain = torch.where(own_spread > 1e-3, spread / own_spread.clamp_min(1e-3), 1.0)
    return ((picture - own_mean) * gain + mean).to(picture.dtype)
