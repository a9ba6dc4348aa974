"""The table of codecs holds what it says: each one encodes, keeps what it should, and gives the same bytes twice."""

import ctypes
import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import get_args

import av
import numpy as np
import pytest
from av.codec.context import CodecContext
from imageio_ffmpeg import get_ffmpeg_exe

from media.clips import number_of, packets_of, picture
from venhancer.errors import InputError, SettingsError
from venhancer.media.colour import to_picture
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import read_frames
from venhancer.media.writing.encoders import (
    CODECS,
    HARDWARE_OPTIONS,
    PREFERRED,
    SEMIPLANAR,
    Encoding,
    choose_encoding,
    depth_of,
    holds_alpha,
    open_options,
    pixel_formats,
    why_not,
)
from venhancer.media.writing.writer import write_segment, write_video
from venhancer.media.writing.writing import Writing
from venhancer.settings import Codec, Encoder

M_PERTURB = -6  # malloc.h
STREAMS = [codec for codec in CODECS if CODECS[codec].stored_as is None]


def deep(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """Return a picture of 16 bits whose finest steps no 8 bits hold."""
    fine = np.arange(width * height, dtype=np.uint16).reshape(height, width, 1) % 257
    return picture(number, width, height).astype(np.uint16) * 256 + fine


def test_table_and_settings_name_the_same_codecs():
    assert list(CODECS) == list(get_args(Codec))
    makers = {maker for codec in CODECS.values() for maker in codec.hardware}
    assert {"software", "hardware", *makers} == set(get_args(Encoder))
    for suffix, codecs in PREFERRED.items():
        assert all(suffix in CODECS[codec].suffixes for codec in codecs)
    assert all(suffix in PREFERRED for codec in CODECS.values() for suffix in codec.suffixes)


@pytest.mark.parametrize("codec", STREAMS)
def test_every_pixel_format_encodes_and_comes_back(tmp_path, codec):
    for pixel_format in pixel_formats(codec):
        for suffix in CODECS[codec].suffixes:
            target = tmp_path / f"{pixel_format}{suffix}"
            plan = Writing(width=64, height=48, rate=Fraction(24), codec=codec, pixel_format=pixel_format)
            is_deep = depth_of(pixel_format) > 8
            write_video(target, ((deep if is_deep else picture)(number) for number in range(5)), plan, None)
            clip = probe(target)
            assert (clip.codec, clip.frames, clip.rate) == (codec, 5, 24)
            assert clip.depth == depth_of(pixel_format) or codec == "prores"  # read as 12 bits where it has alpha
            frames = [(frame / np.iinfo(frame.dtype).max * 255).astype(np.uint8) for frame in read_frames(clip)]
            assert [number_of(frame) for frame in frames] == [0, 1, 2, 3, 4]
            assert np.abs(frames[2].astype(int) - picture(2)).mean() < 4


@pytest.mark.parametrize("codec", [codec for codec in STREAMS if CODECS[codec].crf])
def test_the_lowest_crf_is_the_best(tmp_path, codec):
    """Of pictures of noise, which every step of quality shows."""
    shown = [np.random.default_rng(n).integers(40, 200, (48, 64, 1), np.uint8).repeat(3, -1) for n in range(3)]
    errors, sizes = [], []
    for crf in (0, 1, 20, CODECS[codec].crf[-1]):
        writing = Writing(width=64, height=48, rate=Fraction(24), codec=codec, crf=crf)
        file = write_segment(tmp_path / f"{crf}.mkv", shown, writing)
        pairs = zip(read_frames(probe(file)), shown, strict=True)
        errors.append(np.mean([np.abs(frame.astype(int) - one) for frame, one in pairs]))
        sizes.append(sum(map(len, packets_of(file, "video"))))
    assert errors[0] <= 1.5
    assert errors[0] <= errors[1] + 0.5 < errors[2] < errors[3]
    assert sizes[0] >= sizes[1] > sizes[2] > sizes[3]


@pytest.mark.parametrize("codec", STREAMS)
def test_equal_frames_give_equal_bytes(tmp_path, codec):
    """At a size at which threads divide the work; the encoder of H.264 otherwise differs from run to run."""
    size = {"width": 352, "height": 288}
    formats = CODECS[codec].formats
    for pixel_format in {formats[0], formats[-1]} & set(pixel_formats(codec)):
        plan = Writing(**size, rate=Fraction(24), codec=codec, pixel_format=pixel_format)
        packets = []
        for attempt in range(2):
            file = tmp_path / f"{pixel_format}{attempt}.mkv"
            write_segment(file, (picture(number, **size) for number in range(20)), plan)
            packets.append(packets_of(file, "video"))
        assert packets[0] == packets[1]


@pytest.mark.parametrize(
    ("name", "asked", "chosen"),
    [
        ("a.mp4", {}, ("h264", "yuv420p", 17)),
        ("a.mp4", {"depth": 10}, ("hevc", "yuv420p10le", 18)),
        ("a.MOV", {"depth": 12}, ("hevc", "yuv420p12le", 18)),
        ("a.mp4", {"depth": 16}, ("hevc", "yuv420p12le", 18)),
        ("a.mkv", {"depth": 16}, ("ffv1", "gbrp16le", None)),
        ("a.mkv", {"depth": 10, "codec": "av1"}, ("av1", "yuv420p10le", 22)),
        ("a.mp4", {"depth": 10, "codec": "h264"}, ("h264", "yuv420p", 17)),
        ("a.mp4", {"codec": "h264", "pixel_format": "yuv420p10le"}, ("h264", "yuv420p10le", 17)),
        ("a.mkv", {"pixel_format": "yuv420p12le", "crf": 3}, ("hevc", "yuv420p12le", 3)),
        ("a.webm", {}, ("vp9", "yuv420p", 20)),
        ("a.webm", {"has_alpha": True}, ("vp9", "yuva420p", 20)),
        ("a.mov", {"has_alpha": True}, ("prores", "yuva444p10le", None)),
        ("a.mov", {"codec": "prores"}, ("prores", "yuv422p10le", None)),
        ("a.mkv", {"codec": "ffv1", "depth": 10}, ("ffv1", "gbrp16le", None)),
        ("a.mkv", {"codec": "ffv1", "has_alpha": True}, ("ffv1", "bgra", None)),
        ("f/%05d.png", {"depth": 16}, ("png", "rgb48be", None)),
        ("f/%05d.tif", {"has_alpha": True}, ("tiff", "rgba", None)),
        ("a.gif", {"depth": 10}, ("gif", "pal8", None)),
        ("a.webp", {"has_alpha": True}, ("webp", "yuva420p", None)),
    ],
)
def test_choice_follows_the_target_and_keeps_what_it_can(name, asked, chosen):
    encoding = choose_encoding(Path(name), **asked)
    assert (encoding.codec, encoding.pixel_format, encoding.crf) == chosen


def test_ten_bits_in_webm_are_kept_by_whichever_codec_has_them_here():
    encoding = choose_encoding(Path("a.webm"), depth=10)
    assert encoding.depth == 10
    assert encoding.codec == ("vp9" if "yuv420p10le" in pixel_formats("vp9") else "av1")


def test_what_is_no_stream_of_packets_is_stored_without_loss():
    for name, depth, has_alpha in (("a.png", 8, False), ("a.png", 16, True), ("a.webp", 8, True), ("a.gif", 8, False)):
        stored = choose_encoding(Path(name), depth=depth, has_alpha=has_alpha).stored
        assert stored.codec == "ffv1"
        assert holds_alpha(stored.pixel_format) == has_alpha
        assert depth_of(stored.pixel_format) >= depth


REFUSED = [
    ("a.mp4", {"codec": "ffv1"}, "a.mp4 cannot hold ffv1; use a target ending in .mkv"),
    ("a.png", {"codec": "h264"}, "a.png cannot hold h264; use a target ending in .mp4 or .mov or .mkv"),
    ("a.mp4", {"crf": 52}, "crf 52 does not suit h264, which takes crf 0 to 51"),
    ("a.mov", {"codec": "prores", "crf": 5}, "crf 5 does not suit prores, which takes no crf; omit it"),
    (
        "a.mkv",
        {"codec": "av1", "pixel_format": "yuv444p"},
        "pix_fmt yuv444p does not suit av1; pass yuv420p or yuv420p10le",
    ),
    ("a.mp4", {"pixel_format": "mine"}, "pix_fmt mine does not suit h264; pass yuv420p or yuv422p"),
    ("a.mkv", {"codec": "ffv1", "encoder": "nvenc"}, "encoder nvenc is not for ffv1; pass --encoder software"),
]


@pytest.mark.parametrize(("name", "asked", "message"), REFUSED)
def test_what_does_not_go_together_is_refused_in_one_line(name, asked, message):
    with pytest.raises(SettingsError) as refusal:
        choose_encoding(Path(name), **asked)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_unknown_name_is_refused():
    with pytest.raises(InputError, match=r"a\.avi must end in \.mp4, "):
        choose_encoding(Path("a.avi"))


HARDWARE = [(codec, maker) for codec in CODECS for maker in CODECS[codec].hardware]


@pytest.mark.parametrize(("codec", "maker"), HARDWARE)
def test_hardware_is_given_the_formats_and_options_it_has(codec, maker):
    encoder = f"{codec}_{maker}"
    if encoder not in av.codecs_available:
        pytest.skip(f"no {encoder} was built in")
    there = {built.name for built in av.Codec(encoder, "w").video_formats or ()}
    offered = CodecContext.create(encoder, "w").supported_options
    options = {option.name: option for option in (*offered.generic, *offered.private)}
    for pixel_format in ("yuv420p", "yuv420p10le"):
        encoding = Encoding(codec=codec, pixel_format=pixel_format, crf=CODECS[codec].usual_crf, maker=maker)
        if "p010le" in there or pixel_format == "yuv420p":
            assert encoding.frame_format in there
        assert open_options(encoding)[0].keys() <= options.keys()
    qualities, _ = HARDWARE_OPTIONS[maker]
    worst = CODECS[codec].crf[-1]
    assert all(options[name].max == worst for name in qualities if options[name] in offered.private)


@pytest.mark.parametrize(("codec", "maker"), HARDWARE)
def test_hardware_is_refused_for_the_machine_alone(codec, maker):
    """Another FFmpeg works or fails likewise, and where it fails, no argument of ours is the reason."""
    encoding = Encoding(codec=codec, crf=CODECS[codec].usual_crf, maker=maker)
    reason = why_not(encoding)
    if encoding.encoder in av.codecs_available:
        assert reason is None or "argument" not in reason.lower()
    source = ["-f", "lavfi", "-i", "color=size=320x320:duration=0.1", "-pix_fmt", encoding.frame_format or "nv12"]
    command = [get_ffmpeg_exe(), *source, "-c:v", encoding.encoder, "-f", "null", "-"]
    assert (subprocess.run(command, capture_output=True, check=False).returncode == 0) == (reason is None)
    if reason is not None:
        with pytest.raises(
            SettingsError, match=f"no such encoder works here .{encoding.encoder}: .*--encoder software"
        ):
            choose_encoding(Path("a.mp4"), codec=codec, encoder=maker)


def test_hardware_takes_no_quality_of_its_own_choice():
    with pytest.raises(SettingsError, match="hardware encoders do not take crf 0; pass --crf 1 or more"):
        choose_encoding(Path("a.mp4"), crf=0, encoder="hardware")


@pytest.mark.parametrize(("planar", "other"), SEMIPLANAR.items())
def test_the_formats_of_hardware_hold_the_same_samples(planar, other):
    rgb = deep(3)
    straight = to_picture(rgb, planar, matrix="bt709", full_range=False)
    turned = to_picture(rgb, other, matrix="bt709", full_range=False).reformat(format=planar)
    np.testing.assert_array_equal(turned.to_ndarray(), straight.to_ndarray())


def test_trial_is_a_real_one():
    assert why_not(choose_encoding(Path("a.mp4"))) is None


def test_segment_begins_with_a_key_frame_and_carries_the_colours(tmp_path):
    for codec, tags in (
        ("hevc", (9, 9, 16, 1)),
        ("av1", (9, 9, 16, 1)),
        ("prores", (9, 9, 16, 1)),
        ("vp9", (9, 9, 16, 1)),
    ):
        plan = Writing(
            width=64,
            height=48,
            rate=Fraction(30000, 1001),
            codec=codec,
            pixel_format=pixel_formats(codec)[0 if codec in ("vp9", "prores") else 1],
            color_matrix="bt2020",
            color_primaries=9,
            color_transfer=16,
        )
        for target in (write_segment(tmp_path / "s.mkv", map(deep, range(9)), plan),):
            with av.open(str(target)) as container:
                stream = container.streams.video[0]
                first = next(packet for packet in container.demux(stream) if packet.size)
                context = stream.codec_context
                found = (context.colorspace, context.color_primaries, context.color_trc, context.color_range)
            assert first.is_keyframe
            assert found == tags


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_tags_of_any_colour_reach_the_file(tmp_path, suffix):
    """Primaries and curve are never converted, so the input's go along: here P3 (12) and gamma 2.8 (5), full range."""
    plan = Writing(width=64, height=48, rate=Fraction(24), full_range=True, color_primaries=12, color_transfer=5, crf=4)
    target = write_video(tmp_path / f"a{suffix}", map(picture, range(4)), plan, None)
    clip = probe(target)
    assert (clip.color_primaries, clip.color_transfer, clip.full_range) == (12, 5, True)
    assert all(np.abs(frame.astype(int) - picture(0)).mean() < 4 for frame in read_frames(clip, 0, 1))


def test_hevc_has_the_name_that_players_of_apple_know(tmp_path):
    plan = Writing(width=64, height=48, rate=Fraction(24), codec="hevc")
    for suffix in (".mp4", ".mov"):
        data = write_video(tmp_path / f"a{suffix}", map(picture, range(3)), plan, None).read_bytes()
        assert b"hvc1" in data
        assert b"hev1" not in data


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [("a.webm", "vp9", "yuva420p"), ("a.mov", "prores", "yuva444p10le"), ("a.mkv", "ffv1", "bgra")],
)
def test_transparency_is_seen_and_laid_over_a_background(tmp_path, name, codec, pixel_format):
    """In VP9 it is a second picture that most decoders do not look at."""
    plan = Writing(width=64, height=48, rate=Fraction(24), codec=codec, pixel_format=pixel_format)
    half = np.zeros((48, 64, 4), np.uint8)
    half[:, :32] = (255, 0, 0, 255)
    clip = probe(write_video(tmp_path / name, [half] * 4, plan, None))
    assert clip.has_alpha
    for frame in read_frames(replace(clip, background=(0, 255, 0))):
        shown = frame / np.iinfo(frame.dtype).max
        assert np.abs(shown[24, 8] - (1, 0, 0)).max() < 0.05
        assert np.abs(shown[24, 56] - (0, 1, 0)).max() < 0.05


@pytest.mark.parametrize("codec", STREAMS)
@pytest.mark.parametrize(("width", "height"), [(64, 48), (64, 64), (32, 64)])
def test_the_same_frames_become_the_same_bytes_whatever_memory_held_before(codec, width, height):
    """With memory filled with one value after another: x264 once read some that it had never set, and so did x265."""
    fill = getattr(ctypes.CDLL(None), "mallopt", None)
    if fill is None:
        pytest.skip("this C library does not fill memory")
    noise = np.random.default_rng(0).integers(0, 256, (80, 96, 3))
    smooth = (sum(np.roll(noise, shift, axis) for shift in range(4) for axis in (0, 1)) // 8).astype(np.uint8)
    encoding = Encoding(codec=codec, pixel_format=CODECS[codec].formats[0], crf=CODECS[codec].usual_crf)
    made = set()
    try:
        for value in (0, 1, 85, 128, 170, 255):
            fill(M_PERTURB, value)
            context = av.CodecContext.create(encoding.encoder, "w")
            context.width, context.height, context.pix_fmt = width, height, encoding.pixel_format
            context.time_base, context.framerate = Fraction(1, 24), Fraction(24)
            context.options, context.thread_count = open_options(encoding, width=width)
            packets = []
            for number in range(16):
                part = smooth[number : number + height, 2 * number : 2 * number + width]
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(part), "rgb24")
                frame = frame.reformat(format=encoding.pixel_format)
                frame.pts, frame.time_base = number, Fraction(1, 24)
                packets += context.encode(frame)
            made.add(b"".join(map(bytes, (*packets, *context.encode(None)))))
    finally:
        fill(M_PERTURB, 0)
    assert len(made) == 1
