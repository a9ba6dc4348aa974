"""Key frames of the user's own: pictures, edited and of the output's size, that take the place of input frames."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from venhancer.errors import InputError, SettingsError
from venhancer.media.clip import ClipInfo
from venhancer.media.reading.isolation import inspect
from venhancer.media.reading.reader import Frame, read_frames
from venhancer.planning.timeline import Timeline
from venhancer.settings import AnyPath


@dataclass(frozen=True, slots=True)
class KeyPicture:
    """A picture in the place of an input frame.

    Args:
        number: of the input frame.
        picture: one still.
    """

    number: int
    picture: ClipInfo

    def read(self) -> Frame:
        """Return the picture.

        Raises:
            InputError: it changed or is damaged.
        """
        (frame,) = read_frames(self.picture)
        return frame


def find_key_pictures(given: Mapping[int, AnyPath]) -> tuple[KeyPicture, ...]:
    """Return the pictures at some paths, by the numbers of the input frames they replace.

    Raises:
        InputError: one is no picture that can be used.
    """
    return tuple(KeyPicture(number, _inspected(Path(given[number]))) for number in sorted(given))


def _inspected(path: Path) -> ClipInfo:
    picture = inspect(path)
    if picture.kind != "still":
        raise InputError(f"{path} is not a single picture; pass one, such as a PNG, for a key frame")
    if picture.has_alpha:
        raise InputError(f"{path} is transparent; save it without transparency")
    return picture


def check_key_pictures(
    pictures: Sequence[KeyPicture], clip: ClipInfo, timeline: Timeline, width: int, height: int
) -> None:
    """Raise unless every picture replaces an input frame that becomes a key frame, at the output's size.

    Raises:
        SettingsError: one does not, or the clip's colours are not those of pictures.
    """
    if pictures and clip.transfer != "sdr":
        raise SettingsError(f"key frames of your own must be SDR, and {clip.path} is HDR; omit --key-frame")
    for one in pictures:
        if one.number not in timeline.source:
            raise SettingsError(
                f"key frame {one.number} is not an input frame that the output shows; pass --key-frame "
                f"{timeline.source[0]} to {timeline.source[-1]}, and a higher --fps if it is dropped"
            )
        size = one.picture.width, one.picture.height
        if size != (width, height):
            wanted = f"make it as large as the output, {width}x{height}"
            raise SettingsError(f"{one.picture.path} for key frame {one.number} is {size[0]}x{size[1]}; {wanted}")


def with_key_pictures(
    read: Callable[[Sequence[int]], Iterator[Frame]], numbers: Sequence[int], pictures: Sequence[KeyPicture]
) -> Iterator[Frame]:
    """Yield input frames, and pictures in the place of those they replace.

    Args:
        read: yields the input frames of some numbers.
        numbers: of those that are wanted.
        pictures: of the user's own.
    """
    own = {one.number: one for one in pictures}
    frames = read([number for number in numbers if number not in own])
    for number in numbers:
        yield own[number].read() if number in own else next(frames)
