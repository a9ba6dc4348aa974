"""Which of the videos in a file is the film: not its cover, nor a thumbnail that players do not show."""

from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream


def film_of(container: InputContainer) -> VideoStream | None:
    """Return the first video that players show by default, or else the first that is no cover; None without any."""
    films = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    shown = [stream for stream in films if stream.disposition & Disposition.default]
    return next(iter([*shown, *films]), None)
