"""What is known of a clip: the facts that plans, readers and writers share."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from av.video.format import VideoFormat

from venhancer.media.clock import Jump
from venhancer.media.colour import UNSPECIFIED, ChromaLocation, Transfer, transfer_of
from venhancer.media.orientation import NO_BORDER, UPRIGHT, Border, Orientation
from venhancer.media.source import Identity
from venhancer.media.tracks import Track

Kind = Literal["video", "still", "numbered", "animation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipInfo:
    """One video, or pictures treated as one: size as shown, exact frame count and times, colour, and losses.

    Attributes:
        width: pixels that are shown, once the picture is upright; likewise `height`.
        frames: exact number of frames that decode.
        rate: frames per second; the average if the timing varies.
        duration: seconds from the first frame to the end of the last; `frames / rate` unless the timing varies.
        color_matrix: bt601, bt709 or bt2020.
        full_range: whether 0..255 is used instead of 16..235.
        sample_aspect_ratio: width of a pixel by its height, once the picture is upright.
        not_kept: what the output will not carry, in words for one line of warning.
        start: seconds at which the first frame is shown on the file's clock, which the sound shares.
        border: what of stored pictures is not shown; readers cut it off.
        orientation: how stored pictures are turned to be upright; readers do it.
        audio_codec: of the first sound track, empty if there is none.
        depth: bits of each colour; deeper ones than 8 are read into 16.
        color_primaries: tag of H.273, 2 if there is none; handed on to the output.
        color_transfer: likewise.
        chroma_location: where chroma lies if it has fewer samples than luma.
        has_alpha: whether some pixels of the first frame are transparent.
        opacity_is_unused: whether opacity is 0 throughout, in a codec of which a byte may be unused; it means nothing.
        background: colour that readers lay transparent pixels over, 0 to 255; None takes them for opaque.
        must_be_opaque: whether readers refuse a frame some of whose pixels are transparent.
        is_interlaced: whether the file marks stored frames as holding two moments each.
        deinterlace: which frames readers make whole.
        timestamps: when each frame is shown, in units of `time_base` from the first, never descending; None if all
            frames keep to `rate`.
        time_base: seconds per unit of the timestamps.
        jitter: seconds by which frames of even timing are at most off it, beyond what the file's clock rounds.
        identity: which file it was that was looked at, so that a change is noticed; None for frames in memory.
        jumps: where the file's clock restarts or jumps; all times here are on one continuous clock.
        damage: frames that are damaged or lean on such, as first and stop; those from `frames` on are missing.
        keep_damaged: whether readers give them as decoders conceal them, and the frame before for a missing one.
        tracks: what else the file holds; see `plan_tracks`.
        kind: a video that libav reads; one picture; numbered pictures, whose rate is the requested one; or an
            animation that Pillow reads.
    """

    path: Path
    width: int
    height: int
    frames: int
    rate: Fraction
    duration: Fraction
    codec: str
    pixel_format: str
    color_matrix: str
    full_range: bool
    sample_aspect_ratio: Fraction
    has_audio: bool
    not_kept: tuple[str, ...]
    start: Fraction = Fraction(0)
    border: Border = NO_BORDER
    orientation: Orientation = UPRIGHT
    audio_codec: str = ""
    depth: int = 8
    color_primaries: int = UNSPECIFIED
    color_transfer: int = UNSPECIFIED
    chroma_location: ChromaLocation = "left"
    has_alpha: bool = False
    opacity_is_unused: bool = False
    background: tuple[int, int, int] | None = None
    must_be_opaque: bool = False
    is_interlaced: bool = False
    deinterlace: str = "marked"
    timestamps: tuple[int, ...] | None = None
    time_base: Fraction = Fraction(1)
    jitter: Fraction = Fraction(0)
    identity: Identity | None = None
    jumps: tuple[Jump, ...] = ()
    damage: tuple[tuple[int, int], ...] = ()
    keep_damaged: bool = False
    tracks: tuple[Track, ...] = ()
    kind: Kind = "video"

    @property
    def transfer(self) -> Transfer:
        """The curve of its brightness: sdr, pq or hlg."""
        return transfer_of(self.color_transfer)

    @property
    def is_rgb(self) -> bool:
        """Whether pixels are stored as red, green and blue."""
        return VideoFormat(self.pixel_format).is_rgb

    def damage_in(self, numbers: range) -> list[str]:
        """Return, in words, which of these frames are damaged; the end is, if frames after it are missing."""
        return [
            f"frames {first} to {stop - 1} ({float(self.frame_time(first)):.3f} s)"
            if first < self.frames
            else f"the end ({float(self.duration):.3f} s), where frames are missing"
            for first, stop in self.damage
            if (first < numbers.stop and numbers.start < stop) or first == self.frames == numbers.stop
        ]

    def frame_time(self, number: int) -> Fraction:
        """Return when a frame is shown, in seconds from the first; of the number after the last, when that ends."""
        if number == self.frames:
            return self.duration
        return number / self.rate if self.timestamps is None else self.timestamps[number] * self.time_base


def describe_frames(frames: int, height: int, width: int, rate: Fraction) -> ClipInfo:
    """Return the description of frames that are in memory: RGB, square pixels, no sound."""
    return ClipInfo(
        path=Path("frames in memory"),
        width=width,
        height=height,
        frames=frames,
        rate=rate,
        duration=frames / rate,
        codec="none",
        pixel_format="rgb24",
        color_matrix="bt709",
        full_range=True,
        sample_aspect_ratio=Fraction(1),
        has_audio=False,
        not_kept=(),
    )
