"""Whatever a clip is, enhanced by a model that changes nothing it comes out as it went in."""

import re
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

from media.boxes import with_aperture
from media.clips import ASS, QUIET, remuxed, timed, tone_frames, write_line
from venhancer.enhance import enhance_as_planned
from venhancer.jobs.outcome import losses
from venhancer.media.colour import MATRICES
from venhancer.media.orientation import NO_BORDER, Border
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
    "av1_10.mkv": ("libsvtav1", "yuv420p10le", {"crf": "4", "preset": "12", "svtav1-params": "lp=1"}),
    "ffv1.mkv": ("ffv1", "yuv420p", {}),
    "ffv1_444_10.mkv": ("ffv1", "yuv444p10le", {}),
    "ffv1_rgb.mkv": ("ffv1", "bgr0", {}),
    "ffv1_rgb_16.mkv": ("ffv1", "gbrp16le", {}),
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
TEXTS = {".mp4": "mov_text", ".mov": "mov_text", ".mkv": "subrip"}
TARGETS = {  # codec, and by how many codes of 8 bits a sample may be off; 0 stands for one code of the clip's own
    "ffv1.mkv": ("ffv1", 0.0),
    "h264.mp4": ("h264", 4.0),
    "hevc.mov": ("hevc", 4.0),
    "vp9.webm": ("vp9", 8.0),
    "av1.mp4": ("av1", 4.0),
    "prores.mov": ("prores", 4.0),
    "prores.mkv": ("prores", 4.0),
}
LUMA = {"bt601": (0.299, 0.587, 0.114), "bt709": (0.2126, 0.7152, 0.0722), "bt2020": (0.2627, 0.678, 0.0593)}
ALIKE = {"scale": 1, "noise_augmentation": 0, "shots": False}
SITED, SITINGS = ("h264.mp4", "h264.ts", "hevc_10.mp4", "ffv1.mkv"), ("left", "center", "topleft", "top")
RATES = [Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(24000, 1001), Fraction(50)]
RGB, FULL = ("bgr0", "gbrp16le"), ("bgr0", "gbrp16le", "yuvj420p")
BORDERS = [NO_BORDER, NO_BORDER, Border(2, 4, 6, 0), Border(0, 2, 0, 2), Border(3, 1, 5, 3)]
PIXEL_CROP = ("h264_422_10.mkv", "hevc_12.mkv")  # of codecs that a movie holds too
CHAPTERS = [(0, 40), (40, 80)]  # milliseconds


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
    border: Border
    aspect: Fraction
    sounds: int
    texts: int
    chapters: bool
    delay: Fraction
    siting: str | None


@st.composite
def cases(draw: st.DrawFn) -> Case:
    source = draw(st.sampled_from([*SOURCES]))
    frames = draw(st.integers(2, 9))
    is_free = source.endswith((".mp4", ".mov", ".mkv", ".webm"))  # of rates, times and displays
    is_movie = source.endswith((".mp4", ".mov"))
    border = draw(st.sampled_from(BORDERS)) if is_movie or source in PIXEL_CROP else NO_BORDER
    is_remuxed = border != NO_BORDER and not is_movie
    full = st.just(None) if SOURCES[source][1] in FULL or not is_free else st.sampled_from([None, True, False])
    return Case(
        source=source,
        target=draw(st.sampled_from([*TARGETS])),
        width=2 * draw(st.integers(25, 48)),
        height=2 * draw(st.integers(25, 48)),
        frames=frames,
        rate=draw(st.sampled_from(RATES)),
        gaps=draw(st.none() | st.lists(st.integers(1, 4), min_size=frames, max_size=frames)) if is_free else None,
        matrix=draw(st.sampled_from([*MATRICES])) if is_free and SOURCES[source][1] not in RGB else 2,
        full_range=draw(full),
        rotation=draw(st.sampled_from([0, 0, 90, 180, 270])) if is_movie else 0,
        border=border,
        aspect=draw(st.sampled_from([Fraction(1), Fraction(16, 11)])) if is_free else Fraction(1),
        sounds=draw(st.integers(0, 2)),
        texts=draw(st.integers(0, 2)) if Path(source).suffix in TEXTS and not is_remuxed else 0,
        chapters=draw(st.booleans()) if Path(source).suffix in TEXTS else False,
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
            values = np.stack([80 + 5 * number + 0 * x, 110 + 30 * np.sin(x / 6), 120 + 30 * np.sin(y / 6), 0 * x], -1)
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
    """Write the clip; what hides a border is a movie first, of which Matroska takes it over."""
    if case.border == NO_BORDER:
        return written(path, case)
    movie = path if path.suffix in (".mp4", ".mov") else path.with_suffix(".mov")
    with_aperture(written(movie, case), case.border, stored=(case.width, case.height))
    return movie if movie == path else remuxed(movie, path)


def written(path: Path, case: Case) -> Path:
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
        tones = [output.add_stream(SOUND[path.suffix], rate=48000) for _ in range(case.sounds)]
        for tone in tones:
            tone.layout = "stereo"
        texts = [output.add_stream(TEXTS[path.suffix]) for _ in range(case.texts)]
        for text in texts:
            text.codec_context.subtitle_header = ASS
        if case.chapters:
            marks = {"time_base": Fraction(1, 1000), "metadata": {"title": "A"}}
            output.set_chapters([{"id": start, "start": start, "end": end, **marks} for start, end in CHAPTERS])
        times = np.cumsum([0, *(case.gaps or [])]) * 40 if case.gaps else range(case.frames)
        for number in range(case.frames):
            frame = waves(case, pixel_format, number)
            frame.pts, frame.time_base = int(times[number]), base
            output.mux(map(timed, stream.encode(frame)))
        output.mux(map(timed, stream.encode(None)))
        for place, tone in enumerate(tones):
            for frame in tone_frames(9600, 48000, int(case.delay * 48000) * (1 - place)):
                output.mux(tone.encode(frame))
            output.mux(tone.encode(None))
        for place, text in enumerate(texts):
            write_line(output, text, f"line {place}", 0, 50)
    return path


def planes_of(frame: VideoFrame, matrix: str) -> list[np.ndarray]:
    """Return the planes of a frame in codes of 8 bits; of RGB, its luma by a matrix, and then its colours."""
    bits, is_rgb = frame.format.components[0].bits, frame.format.is_rgb
    if is_rgb:
        rgb = frame.to_ndarray(format="rgb24" if bits == 8 else "rgb48le") / (1 if bits == 8 else 257)
        return [16 + rgb @ np.array(LUMA[matrix]) * 219 / 255, *np.moveaxis(rgb, -1, 0)]
    kind = np.dtype("u1" if bits == 8 else "<u2")
    rows = (np.frombuffer(plane, kind).reshape(plane.height, -1)[:, : plane.width] for plane in frame.planes)
    return [row / 2 ** (bits - 8) for row in rows]


def decoded(path: Path, matrix: str) -> tuple[list[Fraction], list[list[np.ndarray]], VideoFrame]:
    """Return times from the first frame, planes of every frame, and the last frame."""
    times, pictures = [], []
    with av.open(str(path)) as file:
        file.streams.video[0].codec_context.thread_count = 1
        for frame in file.decode(video=0):
            times.append(frame.pts * frame.time_base)
            pictures.append(planes_of(frame, matrix))
    return [time - times[0] for time in times], pictures, frame


def beside(path: Path) -> tuple[list[list[bytes]], list[list[bytes]], list[tuple[Fraction, Fraction]]]:
    """Return the packets of every sound track, the words of every subtitle track, and when chapters begin and end.

    AAC in transport streams is given without the header of each packet (ISO/IEC 13818-7, 6.2).
    """
    with av.open(str(path)) as file:
        packets: dict[int, list[bytes]] = {stream.index: [] for stream in file.streams}
        for packet in file.demux(*file.streams.audio, *file.streams.subtitles):
            if packet.size:
                packets[packet.stream_index].append(bytes(packet))
        chapters = [tuple(one[edge] * one["time_base"] for edge in ("start", "end")) for one in file.chapters()]
        sounds = [
            [packet[7:] if packet[:1] == b"\xff" and path.suffix == ".ts" else packet for packet in packets[one.index]]
            for one in file.streams.audio
        ]
        texts = [[re.sub(rb"[^a-z0-9 ]", b"", one) for one in packets[text.index]] for text in file.streams.subtitles]
    return sounds, texts, chapters


@pytest.fixture(scope="module")
def identity(tiny_model) -> Identity:
    loaded = load_pipeline(str(tiny_model))
    pipeline = Identity(**{name: getattr(loaded, name) for name in NAMES})
    pipeline.register_to_config(_name_or_path=str(tiny_model))
    return pipeline


def shown(planes: list[np.ndarray], case: Case) -> list[np.ndarray]:
    """Return what is shown of planes, upright."""
    (height, width), upright = planes[0].shape, []
    for plane in planes:
        above, below = (side * plane.shape[0] // height for side in case.border[:2])
        left, right = (side * plane.shape[1] // width for side in case.border[2:])
        upright.append(np.rot90(plane[above : len(plane) - below, left : plane.shape[1] - right], case.rotation // 90))
    return upright


def is_full(frame: VideoFrame) -> bool:
    return frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")


@settings(max_examples=EXAMPLES)
@given(case=cases())
def test_what_goes_in_comes_out(identity, case):
    codec, most = TARGETS[case.target]
    with TemporaryDirectory() as folder:
        source, target = make(Path(folder) / case.source, case), Path(folder) / f"out_{case.target}"
        clip = probe(source)
        pixels = clip.pixel_format.replace("yuvj", "yuv")
        asked = {"pix_fmt": pixels} if pixels in pixel_formats(codec) else {}
        asked |= {} if codec in ("ffv1", "prores") else {"crf": 0}
        plan = make_plan(clip, parse_settings(**ALIKE, codec=codec, **asked), identity.traits)
        enhance_as_planned(plan, target, identity)
        was, pictures, first = decoded(source, clip.color_matrix)
        now, results, last = decoded(target, clip.color_matrix)
        result = probe(target)
        (sounds, texts, chapters), (carried, said, marked) = beside(source), beside(target)
    assert (len(now), len(was)) == (case.frames, case.frames)
    assert (result.width, result.height) == (clip.width, clip.height)
    assert clip.border == case.border
    if not any("shape of pixels" in lost for lost in losses(plan, target)):
        assert result.sample_aspect_ratio == clip.sample_aspect_ratio
    assert (result.timestamps is None) == (clip.timestamps is None)
    assert target.suffix not in (".mp4", ".mov") or result.rate == clip.rate  # a clock of milliseconds tells it roughly
    assert max(abs(one - other) for one, other in zip(was, now, strict=True)) <= Fraction(2, 1000) + clip.jitter
    assert last.format.is_rgb or MATRICES[last.colorspace] == clip.color_matrix
    was_full = is_full(first) and not first.format.is_rgb
    assert last.format.is_rgb or is_full(last) == (was_full and codec != "prores")
    is_whole = "444" in pixels or clip.is_rgb
    is_moved = result.chroma_location != clip.chroma_location or case.rotation or any(side % 2 for side in case.border)
    if first.format.name.replace("yuvj", "yuv") != last.format.name or (is_moved and not is_whole):
        pictures, results = ([planes[:1] for planes in frames] for frames in (pictures, results))
    if was_full and (last.format.is_rgb or not is_full(last)):
        white = 256 - 2.0 ** (8 - first.format.components[0].bits)  # the highest code of all bits, in codes of 8
        pictures = [[16 + y * 219 / white, *(128 + (c - 128) * 224 / white for c in more)] for y, *more in pictures]
    luma = most or 2.0 ** (8 - min(clip.depth, first.format.components[0].bits))
    chroma = luma if is_whole or "ffv1" in case.source else 4 * luma  # noise of a codec is finer than its grid
    for before, after in zip(pictures, results, strict=True):
        upright = shown(before, case)
        assert [plane.shape for plane in upright] == [plane.shape for plane in after]
        errors = [np.abs(one - other) for one, other in zip(upright, after, strict=True)]
        off, *off_chroma = (float(error.max()) for error in errors)
        assert max(float(error.mean()) for error in errors) <= 1.25
        assert off <= luma
        assert max(off_chroma, default=0) <= chroma
    fates = plan_tracks(clip.tracks, target.suffix)
    kept = [fate for fate in fates if fate.track.kind == "audio" and fate.is_kept]
    assert len(carried) == len(kept)
    assert len([fate for fate in fates if fate.track.kind == "audio"]) == case.sounds == len(sounds)
    for place, fate in enumerate(kept):
        assert fate.action != "copied" or carried[place] == sounds[place]
    assert len(texts) == case.texts
    assert said == (texts if any(fate.track.kind == "subtitle" and fate.is_kept for fate in fates) else [])
    assert [tuple(Fraction(edge, 1000) for edge in pair) for pair in CHAPTERS] * case.chapters == chapters == marked
