"""Sound that is encoded anew, sample by sample in its place.

Used where a container cannot hold the source's own packets. Every decoded sample goes to the place of its time:
gaps and packets that do not decode become silence, what overlaps is dropped, and the cut is exact.
"""

import logging
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from statistics import median

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.layout import AudioLayout
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.error import FFmpegError
from av.packet import Packet

from venhancer.media.containers import CHANNELS
from venhancer.media.tracks import channels_of
from venhancer.media.writing.writing import Span

logger = logging.getLogger(__name__)

ENCODERS = {"aac": "aac", "opus": "libopus", "flac": "flac"}
AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
FLAC_RATES = range(1, 655_351)
BITS_PER_CHANNEL = 96_000  # a second
JUMP = Fraction(1, 50)  # seconds off its place from which sound is put right at once
DRIFT = Fraction(1, 1000)  # and from which it is, once it has stayed off
STEADY = 16  # frames that tell a drift from the jitter of timestamps
PLANES = 8  # of planar sound from which on PyAV reads beyond the last


class EncodedSound:
    """One sound track, decoded, put in its place and encoded.

    Args:
        output: gets a stream, `target`.
        source: the track.
        codec: aac, opus or flac.
        span: which stretch of the source, and where it begins.
        name: of the source, for warnings.
    """

    def __init__(self, output: OutputContainer, source: AudioStream, codec: str, span: Span, name: str) -> None:
        self.source, self.span, self.name = source, span, name
        allowed = {"aac": AAC_RATES, "opus": (48000,), "flac": FLAC_RATES}[codec]
        layout = channels_of(source.codec_context).layout
        self.channels = AudioLayout(layout).nb_channels
        channels = self.channels if self.channels in CHANNELS else 2
        rate = source.rate if source.rate in allowed else 48000
        target = output.add_stream(ENCODERS[codec], rate=rate)
        assert isinstance(target, AudioStream)
        self.target = target
        if codec != "flac":
            self.target.bit_rate = BITS_PER_CHANNEL * channels
        self.target.layout = "quad" if codec == "opus" and channels == 4 else CHANNELS[channels]
        if codec == "flac" and source.format.bytes > 2:
            self.target.format = "s32"
        self.clock = source.rate
        self.format = source.format.packed if self.channels >= PLANES else source.format
        self.shape = (self.format.name, layout, source.rate)
        self.reshaping: dict[tuple, AudioResampler] = {}  # of frames that are of another shape
        self.place = 0  # samples of the source written so far, counted from the output's beginning
        self.end = 0  # of the last packet, in samples
        self.is_placed = False  # whether the next frame is known to follow the last one
        self.offsets: deque[int] = deque(maxlen=STEADY)
        self.damaged: list[Fraction] = []

    def feed(self, packet: Packet) -> Iterator[Packet]:
        """Yield the packets that a packet of the source completes."""
        begin = packet.pts if packet.pts is not None else packet.dts
        if begin is not None:
            self.end = self._sample(Fraction(begin + (packet.duration or 0)) * packet.time_base)
        try:
            frames = packet.decode()
        except FFmpegError:
            self.damaged.append(Fraction(begin or 0) * packet.time_base)
            self.is_placed = False
            return
        for frame in frames:
            yield from self._place(frame)

    def finish(self) -> Iterator[Packet]:
        """Yield the rest of the packets, and warn of undecodable ones."""
        for frame in self.source.decode(None):
            yield from self._place(frame)
        if self.damaged:
            yield from self._write_silence(self.end - self.place)
            first, last = (float(time - self.span.start) for time in (self.damaged[0], self.damaged[-1]))
            logger.warning(
                "%s: %d packets of sound track %d do not decode, from %.1f s to %.1f s; silence replaces them",
                self.name, len(self.damaged), self.source.index, first, last,
            )  # fmt: skip
        yield from self.target.encode(None)

    def _sample(self, seconds: Fraction) -> int:
        """Return the place of a time of the source, in samples from the output's beginning."""
        return round((seconds - self.span.start) * self.clock)

    def _place(self, frame: AudioFrame) -> Iterator[Packet]:
        """Write a frame at its time, after silence or without the part that is written already."""
        channels_of(frame)  # before anything else asks for its layout
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape != self.shape:
            for even in self.reshaping.setdefault(shape, AudioResampler(*self.shape)).resample(frame):
                yield from self._place(even)
            return
        samples = frame.to_ndarray()
        if frame.pts is not None and frame.time_base:
            missing = self._correction(self._sample(frame.pts * frame.time_base) - self.place)
            if missing > 0:
                yield from self._write_silence(missing)
            elif missing < 0:
                samples = samples[:, -missing * self._step() :]
        yield from self._write(samples)

    def _correction(self, offset: int) -> int:
        """Return by how many samples to put the sound right: at once after a jump, else by a lasting drift."""
        self.offsets.append(offset)
        if self.is_placed and abs(offset) <= JUMP * self.clock:
            offset = round(median(self.offsets)) if len(self.offsets) == STEADY else 0
            if abs(offset) <= DRIFT * self.clock:
                return 0
        self.offsets.clear()
        self.is_placed = offset >= 0
        return offset

    def _step(self) -> int:
        """Numbers in a row of samples: one, or one a channel where channels lie interleaved."""
        return 1 if self.format.is_planar else self.channels

    def _write_silence(self, samples: int) -> Iterator[Packet]:
        rows = self.channels if self.format.is_planar else 1
        while samples > 0:
            count = min(samples, self.clock)
            empty = np.zeros((rows, count * self._step()), self._dtype())
            yield from self._write(empty + 128 if self.format.name.startswith("u8") else empty)
            samples -= count

    def _dtype(self) -> np.dtype:
        return AudioFrame(format=self.format.name, layout="mono", samples=1).to_ndarray().dtype

    def _write(self, samples: np.ndarray) -> Iterator[Packet]:
        """Encode rows of samples that follow the last ones."""
        step = self._step()
        if self.span.end is not None:
            samples = samples[:, : max(0, self._sample(self.span.end) - self.place) * step]
        if not samples.size:
            return
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples), *self.shape[:2])
        frame.sample_rate, frame.time_base, frame.pts = self.clock, Fraction(1, self.clock), self.place
        self.place += samples.shape[1] // step
        yield from self.target.encode(frame)
