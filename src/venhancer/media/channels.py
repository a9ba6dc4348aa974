"""The loudspeakers that the channels of a sound track belong to, in the order that libav's encoders expect.

libav knows usual orders by a mask and keeps any other as a list, which a layout of PyAV and whatever it came from both
free (PyAV 18). Layouts with a list are therefore read here only, and never given back.
"""

import ctypes
from typing import NamedTuple

from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.layout import AudioLayout

LISTED = " channels ("  # how libav's name of a list continues, after their number
SPEAKERS = (  # in the order of libav's masks
    "FL FR FC LFE BL BR FLC FRC BC SL SR TC TFL TFC TFR TBL TBC TBR DL DR WL WR SDL SDR LFE2 TSL TSR BFC BFL BFR "
    "SSL SSR TTL TTR BIL BIR"
)


class Channels(NamedTuple):
    """The channels of a track.

    Args:
        number: how many.
        layout: libav's name for the usual order of their loudspeakers, or of the two that all are mixed to.
        have_places: whether each has its own loudspeaker, as far as the file says.
    """

    number: int
    layout: str
    have_places: bool = True


def channels_of(sound: AudioCodecContext | AudioFrame) -> Channels:
    """Return the channels of a track, or of a part of it."""
    layout = sound.layout
    if LISTED not in layout.name:
        return Channels(layout.nb_channels, layout.name)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(layout))
    speakers = [channel.name for channel in layout.channels]
    usual = [speaker for speaker in SPEAKERS.split() if speaker in speakers]
    if len(usual) < len(speakers):  # one of them twice, or one that has no name
        return Channels(len(speakers), "stereo", have_places=False)
    return Channels(len(speakers), AudioLayout("+".join(usual)).name)
