"""Whatever a clip is, enhanced by a model that changes nothing it comes out as it went in."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from hypothesis import given, settings
from hypothesis import strategies as st

from media.clips import QUIET, timed, tone_frames
from venhancer.enhance import enhance_as_planned
from venhancer.jobs.outcome import losses
from venhancer.media.colour import MATRICES
from venhancer.media.reading.probe import probe
from venhancer.media.tracks import plan_tracks
from venhancer.media.writing.encoders import pixel_formats
from venhancer.pipeline import EnhancedSegment, VEnhancerPipeline
from venhancer.plan import make_plan
from venhancer.settings import parse_settings
from venhancer.weights import load_pipeline

EXAMPLES = settings().max_examples if settings.get_current_profile_name() == "fuzz" else 30
NAMES = ("vae", "unet", "controlnet", "text_encoder", "tokenizer")
SOURCES = {  # container, encoder, pixel format, options
    "h264.mp4": ("libx264", "yuv420p", {"crf": "4"}),
    "h264_444.mp4": ("libx264", "yuv444p", {"crf": "4"}),
    "h264_422_10.mkv": ("libx264", "yuv422p10le", {"crf": "4"}),
    "h264.ts": ("libx264", "yuv420p", {"crf": "4"}),
    "hevc_10.mp4": ("libx265", "yuv420p10le", {"x265-params": "log-level=none:crf=4"}),
    "hevc_12.mkv": ("libx265", "yuv420p12le", {"x265-params": "log-level=none:crf=4"}),
    "ffv1.mkv": ("ffv1", "yuv420p", {}),
    "ffv1_444_10.mkv": ("ffv1", "yuv444p10le", {}),
    "ffv1_rgb.mkv": ("ffv1", "bgr0", {}),
    "prores.mov": ("prores_ks", "yuv422p10le", {}),
    "mpeg4.avi": ("mpeg4", "yuv420p", {"qscale": "1"}),
    "mjpeg.mov": ("mjpeg", "yuvj420p", {"qscale": "1"}),
    "mpeg2.mpg": ("mpeg2video", "yuv420p", {"qscale": "1"}),
    "vp9.webm": ("libvpx-vp9", "yuv420p", {"deadline": "realtime", "cpu-used": "8", "crf": "4", "b": "0"}),
}
SOUND = {
    ".mp4": "aac",
    ".mov": "pcm_s16le",
    ".mkv": "flac",
    ".ts": "aac",
    ".mpg": "mp2",
    ".avi": "libmp3lame",
    ".webm": "libopus",
}
TARGETS = {  # codec, and by how many codes of 8 bits a sample may be off; 0 stands for one code of the clip's own
    ".mkv": ("ffv1", 0.0),
    ".mp4": ("h264", 4.0),
    ".mov": ("hevc", 4.0),
    ".webm": ("vp9", 8.0),
}
LUMA = {"bt601": (0.299, 0.587, 0.114), "bt709": (0.2126, 0.7152, 0.0722), "bt2020": (0.2627, 0.678, 0.0593)}
ALIKE = {"scale": 1, "noise_augmentation": 0, "shots": False}
SITED, SITINGS = ("h264.mp4", "h264.ts", "hevc_10.mp4", "ffv1.mkv"), ("left", "center", "topleft", "top")
RATES = [Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(24000, 1001), Fraction(50)]


class Identity(VEnhancerPipeline):
    """A model whose output frames are its input frames."""

    def enhance_segments(self, plan, read, *, first=0, carry=None, progress=None) -> Iterator[EnhancedSegment]:
        for segment in plan.segments[first:]:
            yield EnhancedSegment(segment, iter(read([plan.source[index] for index in segment.frames])), {})


@dataclass(frozen=True, kw_only=True)
class Case:
    """One clip, and the kind of file that it becomes."""

    source: str
    target: str
    width: int
    height: int
    frames: int
    rate: Fraction
    gaps: Sequence[int] | None
    matrix: int
    full_range: bool | None
    rotation: int
    aspect: Fraction
    sound: bool
    delay: Fraction
    siting: str | None


@st.composite
def cases(draw: st.DrawFn) -> Case:
    source = draw(st.sampled_from([*SOURCES]))
    frames = draw(st.integers(2, 9))
    is_free = source.endswith((".mp4", ".mov", ".mkv", ".webm"))  # of rates, times and displays
    full = (
        st.just(None)
        if SOURCES[source][1] in ("bgr0", "yuvj420p") or not is_free
        else st.sampled_from([None, True, False])
    )
    return Case(
        source=source,
        target=draw(st.sampled_from([*TARGETS])),
        width=2 * draw(st.integers(25, 48)),
        height=2 * draw(st.integers(25, 48)),
        frames=frames,
        rate=draw(st.sampled_from(RATES)),
        gaps=draw(st.none() | st.lists(st.integers(1, 4), min_size=frames, max_size=frames)) if is_free else None,
        matrix=draw(st.sampled_from([*MATRICES])) if is_free and SOURCES[source][1] != "bgr0" else 2,
        full_range=draw(full),
        rotation=draw(st.sampled_from([0, 0, 90, 180, 270])) if source.endswith((".mp4", ".mov")) else 0,
        aspect=draw(st.sampled_from([Fraction(1), Fraction(16, 11)])) if is_free else Fraction(1),
        sound=draw(st.booleans()),
        delay=draw(st.sampled_from([Fraction(0), Fraction(1, 10)])),
        siting=draw(st.sampled_from([None, *SITINGS])) if source in SITED else None,
    )


def waves(case: Case, pixel_format: str, number: int) -> VideoFrame:
    """Return a picture of slow waves, well within all colours, that is another one for every number."""
    frame = VideoFrame(case.width, case.height, pixel_format)
    bits = frame.format.components[0].bits
    for place, plane in enumerate(frame.planes):
        y, x = np.mgrid[0 : plane.height, 0 : plane.width]
        if pixel_format == "bgr0":
            values = np.stack(
                [80 + 5 * number + 0 * x, 110 + 30 * np.sin(x / 6), 120 + 30 * np.sin(y / 6 + number), 0 * x], -1
            )
        elif place:
            values = 128 + 20 * np.sin((x if place == 1 else y) / 5 + number / 4)
        else:
            values = 90 + 4 * number + 20 * np.sin(x / 6) + 15 * np.cos(y / 5)
        kind = np.dtype("u1" if bits == 8 else "<u2")
        stored = np.round(values * 2 ** (bits - 8)).astype(kind).reshape(plane.height, -1)
        lines = np.zeros((plane.height, plane.line_size // kind.itemsize), kind)
        lines[:, : stored.shape[1]] = stored
        plane.update(lines.tobytes())
    return frame


def make(path: Path, case: Case) -> Path:
    encoder, pixel_format, options = SOURCES[case.source]
    base = Fraction(1, 1000) if case.gaps else 1 / case.rate
    options = {"g": "4", **QUIET.get(encoder, {}), **options}
    options |= {"chroma_sample_location": case.siting} if case.siting else {}
    with av.open(str(path), "w") as output:
        stream = output.add_stream(encoder, rate=case.rate, options=options)
        stream.width, stream.height, stream.pix_fmt = case.width, case.height, pixel_format
        context = stream.codec_context
        context.thread_count, context.time_base, context.colorspace = 1, base, case.matrix
        context.sample_aspect_ratio = case.aspect
        if case.full_range is not None:
            context.color_range = 2 if case.full_range else 1
        if case.rotation:
            stream.set_display_rotation(case.rotation)
        tone = output.add_stream(SOUND[path.suffix], rate=48000) if case.sound else None
        if tone is not None:
            tone.layout = "stereo"
        times = np.cumsum([0, *(case.gaps or [])]) * 40 if case.gaps else range(case.frames)
        for number in range(case.frames):
            frame = waves(case, pixel_format, number)
            frame.pts, frame.time_base = int(times[number]), base
            output.mux(map(timed, stream.encode(frame)))
        output.mux(map(timed, stream.encode(None)))
        if tone is not None:
            for frame in tone_frames(9600, 48000, int(case.delay * 48000)):
                output.mux(tone.encode(frame))
            output.mux(tone.encode(None))
    return path


def planes_of(frame: VideoFrame) -> list[np.ndarray]:
    """Return the planes of a frame in codes of 8 bits; of RGB, one plane of its luma."""
    bits, is_rgb = frame.format.components[0].bits, frame.format.is_rgb
    if is_rgb:
        rgb = frame.to_ndarray(format="rgb24" if bits == 8 else "rgb48le") / (1 if bits == 8 else 257)
        weights = np.array(LUMA[MATRICES.get(frame.colorspace, "bt601")])
        return [16 + rgb @ weights * 219 / 255]
    kind = np.dtype("u1" if bits == 8 else "<u2")
    rows = (np.frombuffer(plane, kind).reshape(plane.height, -1)[:, : plane.width] for plane in frame.planes)
    return [row / 2 ** (bits - 8) for row in rows]


def decoded(path: Path) -> tuple[list[Fraction], list[list[np.ndarray]], VideoFrame]:
    """Return times from the first frame, planes of every frame, and the last frame."""
    times, pictures = [], []
    with av.open(str(path)) as file:
        for frame in file.decode(video=0):
            times.append(frame.pts * frame.time_base)
            pictures.append(planes_of(frame))
    return [time - times[0] for time in times], pictures, frame


def sound_of(path: Path) -> list[bytes]:
    """Return the packets of sound, of AAC in transport streams without the header of each (ISO/IEC 13818-7, 6.2)."""
    with av.open(str(path)) as file:
        packets = [bytes(packet) for packet in file.demux(audio=0) if packet.size] if file.streams.audio else []
    return [packet[7:] if packet[:1] == b"\xff" and path.suffix == ".ts" else packet for packet in packets]


@pytest.fixture(scope="module")
def identity(tiny_model) -> Identity:
    loaded = load_pipeline(str(tiny_model))
    pipeline = Identity(**{name: getattr(loaded, name) for name in NAMES})
    pipeline.register_to_config(_name_or_path=str(tiny_model))
    return pipeline


def differences(was: list[np.ndarray], now: list[np.ndarray], turns: int) -> list[float]:
    """Return by how many codes of 8 bits each plane differs at most."""
    upright = [np.rot90(plane, turns) for plane in was]
    assert [plane.shape for plane in upright] == [plane.shape for plane in now]
    return [float(np.abs(one - other).max()) for one, other in zip(upright, now, strict=True)]


def is_full(frame: VideoFrame) -> bool:
    return frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")


@settings(deadline=None, max_examples=EXAMPLES)
@given(case=cases())
def test_what_goes_in_comes_out(identity, case):
    codec, most = TARGETS[case.target]
    with TemporaryDirectory() as folder:
        source, target = make(Path(folder) / case.source, case), Path(folder) / f"out{case.target}"
        clip = probe(source)
        pixels = clip.pixel_format.replace("yuvj", "yuv")
        asked = {"pix_fmt": pixels} if pixels in pixel_formats(codec) else {}
        asked |= {} if codec == "ffv1" else {"crf": 0}
        plan = make_plan(clip, parse_settings(**ALIKE, codec=codec, **asked), identity.traits)
        enhance_as_planned(plan, target, identity)
        (was, pictures, first), (now, results, last) = decoded(source), decoded(target)
        result = probe(target)
        stored, carried = sound_of(source), sound_of(target)
    assert (len(now), len(was)) == (case.frames, case.frames)
    assert (result.width, result.height) == (clip.width, clip.height)
    if not any("shape of pixels" in lost for lost in losses(plan, target)):
        assert result.sample_aspect_ratio == clip.sample_aspect_ratio
    assert (result.timestamps is None) == (clip.timestamps is None)
    assert case.target not in (".mp4", ".mov") or result.rate == clip.rate  # a clock of milliseconds tells it roughly
    assert max(abs(one - other) for one, other in zip(was, now, strict=True)) <= Fraction(2, 1000)
    assert last.format.is_rgb or MATRICES[last.colorspace] == clip.color_matrix
    assert last.format.is_rgb or first.format.is_rgb or is_full(last) == is_full(first)
    turns, is_whole = case.rotation // 90, "444" in pixels
    moves = result.chroma_location != clip.chroma_location or bool(turns)
    if first.format.name.replace("yuvj", "yuv") != last.format.name or (moves and not is_whole):
        pictures, results = ([planes[:1] for planes in frames] for frames in (pictures, results))
    if last.format.is_rgb and is_full(first):
        pictures = [[16 + planes[0] * 219 / 255] for planes in pictures]
    luma = most or 2.0 ** (8 - min(clip.depth, first.format.components[0].bits))
    chroma = luma if is_whole or "ffv1" in case.source else 2 * luma  # noise of a codec is finer than its grid
    for pair in zip(pictures, results, strict=True):
        off, *off_chroma = differences(*pair, turns)
        assert off <= luma
        assert max(off_chroma, default=0) <= chroma
    for fate in plan_tracks(clip.tracks, case.target):
        if fate.track.kind == "audio":
            assert bool(carried) == fate.is_kept
            assert fate.action != "copied" or carried == stored
