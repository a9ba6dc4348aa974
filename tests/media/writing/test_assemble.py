"""Segments joined by their packets: every frame as it was, every time exact, one file or none."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.video.frame import VideoFrame

from media.clips import QUIET, make_clip, picture
from venhancer.errors import JobFailed
from venhancer.media.reading.probe import probe
from venhancer.media.writing.assemble import assemble
from venhancer.media.writing.writer import write_segment
from venhancer.media.writing.writing import Writing

RATE = Fraction(30000, 1001)
LENGTHS = (20, 1, 2, 1, 13)  # frames of each segment; some shorter than an encoder's reordering
CODECS = {  # encoder: pixel format, options, containers
    "libx264": ("yuv420p", {}, (".mp4", ".mov", ".mkv")),
    "libx265": ("yuv420p10le", {}, (".mp4", ".mov", ".mkv")),
    "libsvtav1": ("yuv420p10le", {"preset": "12"}, (".mp4", ".mkv", ".webm")),
    "libvpx-vp9": ("yuv420p", {}, (".mp4", ".mkv", ".webm")),
    "prores_ks": ("yuv422p10le", {"profile": "hq"}, (".mov", ".mkv")),
    "ffv1": ("gbrp16le", {"level": "3", "g": "1"}, (".mkv",)),
}


def writing(**changes) -> Writing:
    return Writing(**{"width": 64, "height": 48, "rate": RATE, **changes})


def encode(path: Path, codec: str, first: int, frames: int) -> Path:
    """Write one segment of `frames` pictures from number `first` on."""
    pixel_format, options, _ = CODECS[codec]
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=RATE, options={**QUIET.get(codec, {}), **options})
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixel_format
        stream.codec_context.time_base = 1 / RATE
        for number in range(frames):
            frame = VideoFrame.from_ndarray(picture(first + number), "rgb24").reformat(format=pixel_format)
            frame.pts, frame.time_base = number, 1 / RATE
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def make_segments(folder: Path, codec: str) -> list[Path]:
    return [
        encode(folder / f"segment_{number}.mkv", codec, sum(LENGTHS[:number]), frames)
        for number, frames in enumerate(LENGTHS)
    ]


def decoded(path: Path) -> list[tuple[Fraction, bytes]]:
    """Return when each frame is shown, in seconds, and its samples."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [(frame.pts * stream.time_base, frame.to_ndarray().tobytes()) for frame in container.decode(stream)]


def decode_times(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        return [packet.dts for packet in container.demux(video=0) if packet.size and packet.dts is not None]


@pytest.mark.parametrize("codec", CODECS)
def test_joined_frames_are_those_of_the_segments(tmp_path, codec):
    segments = make_segments(tmp_path, codec)
    before = [samples for path in segments for _, samples in decoded(path)]
    for suffix in CODECS[codec][2]:
        after = decoded(assemble(tmp_path / f"out{suffix}", segments, writing(), None))
        assert [samples for _, samples in after] == before
        rounding = 0 if suffix in (".mp4", ".mov") else Fraction(1, 2000)
        assert all(abs(time - number / RATE) <= rounding for number, (time, _) in enumerate(after))
        dts = decode_times(tmp_path / f"out{suffix}")
        assert dts == sorted(set(dts))
        clip = probe(tmp_path / f"out{suffix}")
        assert (clip.frames, clip.rate) == (sum(LENGTHS), RATE)


def test_apple_players_are_told_of_hevc(tmp_path):
    segments = make_segments(tmp_path, "libx265")
    for suffix in (".mp4", ".mov"):
        with av.open(str(assemble(tmp_path / f"out{suffix}", segments, writing(), None))) as container:
            assert container.streams.video[0].codec_context.codec_tag == "hvc1"


def test_damaged_or_foreign_segments_are_named_and_nothing_is_left(tmp_path):
    segments = make_segments(tmp_path, "libx264")
    other = encode(tmp_path / "other.mkv", "ffv1", 0, 3)
    nothing = tmp_path / "nothing.mkv"
    nothing.write_bytes(b"")
    tail = tmp_path / "tail.mkv"
    with av.open(str(segments[0])) as source, av.open(str(tail), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in list(source.demux(video=0))[1:]:
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)
    before = sorted(tmp_path.iterdir())
    for bad, said in [
        (other, "encoded differently"),
        (nothing, "cannot be read"),
        (tail, "does not start with a key frame"),
    ]:
        with pytest.raises(JobFailed, match=f"{bad.name} .*{said}"):
            assemble(tmp_path / "out.mp4", [*segments, bad], writing(), None)
        assert sorted(tmp_path.iterdir()) == before
    with pytest.raises(ValueError, match="no segments"):
        assemble(tmp_path / "out.mp4", [], writing(), None)


def test_colours_and_pixel_shape_come_along(tmp_path):
    clip = probe(make_clip(tmp_path / "a.mp4", aspect=Fraction(4, 3), metadata={"title": "Grüße"}))
    plan = writing(color_matrix="bt2020", sample_aspect_ratio=Fraction(4, 3), metadata={"comment": "made"})
    segments = [write_segment(tmp_path / f"{n}.mkv", [picture(n)], plan) for n in range(3)]
    for suffix in (".mp4", ".mov", ".mkv"):
        result = probe(assemble(tmp_path / f"out{suffix}", segments, plan, clip))
        assert (result.sample_aspect_ratio, result.color_matrix) == (Fraction(4, 3), "bt2020")
        with av.open(str(result.path)) as container:
            tags = {name.lower(): value for name, value in container.metadata.items()}
        assert (tags["title"], tags["comment"]) == ("Grüße", "made")


def test_memory_does_not_grow_with_the_footage(tmp_path):
    """Many times the packets cost no more than the container's own tables."""
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom fractions import Fraction\n"
        "from venhancer.media.writing.assemble import assemble\nfrom venhancer.media.writing.writing import Writing\n"
        "target, segment, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])\n"
        "writing = Writing(width=160, height=120, rate=Fraction(24), codec='ffv1')\n"
        "assemble(target, [segment] * count, writing, None)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    plan = writing(width=160, height=120, rate=Fraction(24), codec="ffv1")
    noise = (picture(number % 50, 160, 120) for number in range(40))
    segment = write_segment(tmp_path / "segment.mkv", noise, plan)
    peaks = []
    for count in (4, 100):
        command = [sys.executable, "-c", code, str(tmp_path / f"{count}.mkv"), str(segment), str(count)]
        peaks.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    size = (tmp_path / "100.mkv").stat().st_size / 1024
    assert size > 20_000
    assert peaks[1] - peaks[0] < 0.2 * size


def test_comment_of_a_person_stays_and_ours_is_there_once(tmp_path):
    told = []
    source = make_clip(tmp_path / "a.mkv", frames=2, metadata={"comment": "our holiday"})
    for suffix in (".mp4", ".mkv", ".mov"):
        clip = probe(source)
        plan = writing(metadata={"comment": f"venhancer 1 {suffix}"})
        segment = write_segment(tmp_path / "segment.mkv", [picture(0)], plan)
        source = assemble(tmp_path / f"out{suffix}", [segment], plan, clip)
        with av.open(str(source)) as container:
            told += [value for name, value in container.metadata.items() if name.lower() == "comment"]
    assert told == [f"our holiday\nvenhancer 1 {suffix}" for suffix in (".mp4", ".mkv", ".mov")]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_varying_times_are_kept_to_the_tick(tmp_path, suffix):
    """Frames of any distance, two of them at one moment, and a last one that is held."""
    ticks = (0, 40, 40, 90, 200, 233, 1000, 1001, 1500, 2500)
    plan = writing(timestamps=ticks, time_base=Fraction(1, 1000))
    numbers = iter(range(len(ticks) - 1))
    segments = [
        write_segment(tmp_path / f"{part}.mkv", [picture(next(numbers)) for _ in range(frames)], plan)
        for part, frames in enumerate((4, 1, 4))
    ]
    target = assemble(tmp_path / f"out{suffix}", segments, plan, None)
    assert [time * 1000 for time, _ in decoded(target)] == [0, 40, 41, 90, 200, 233, 1000, 1001, 1500]
    dts = decode_times(target)
    assert dts == sorted(set(dts))
    with av.open(str(target)) as container:
        assert suffix != ".mkv" or abs(container.duration / av.time_base - 2.5) < 0.002
