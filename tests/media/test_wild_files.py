"""Kinds of files that people reported elsewhere; `docs/wild-files.md` says what is done with most."""

import struct
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
from av.stream import Disposition
from PIL import Image

from media.clips import make_clip, number_of, picture
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import read_frames
from venhancer.media.tracks import plan_tracks

C2PA = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")


def outcomes(path: Path, suffix: str) -> list[str]:
    return [f"{plan.track.name}: {plan.outcome}" for plan in plan_tracks(probe(path).tracks, suffix)]


def test_thumbnail_that_players_do_not_show_is_no_film(tmp_path):
    with av.open(str(tmp_path / "a.mov"), "w") as output:
        thumbnail, film = output.add_stream("mjpeg", rate=24), output.add_stream("libx264", rate=24)
        thumbnail.width, thumbnail.height, thumbnail.pix_fmt = 32, 24, "yuvj420p"
        film.width, film.height, film.pix_fmt = 64, 48, "yuv420p"
        thumbnail.disposition, film.disposition = Disposition(0), Disposition.default
        for stream, numbers, size in ((thumbnail, [0], (32, 24)), (film, range(6), (64, 48))):
            for number in numbers:
                frame = av.VideoFrame.from_ndarray(picture(number, *size), "rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 24)
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    clip = probe(tmp_path / "a.mov")
    assert (clip.width, clip.height, clip.frames) == (64, 48, 6)
    assert [number_of(frame) for frame in read_frames(clip)] == list(range(6))
    assert [track.name for track in clip.tracks] == ["other video (mjpeg)"]


@pytest.mark.parametrize("is_large", [False, True])
def test_content_credentials_are_named_as_lost(tmp_path, is_large):
    path = make_clip(tmp_path / "a.mp4", frames=2)
    assert probe(path).not_kept == ()
    content = C2PA + bytes(4) + b"manifest\0" + bytes(100)
    head = (
        struct.pack(">I4sQ", 1, b"uuid", 16 + len(content))
        if is_large
        else struct.pack(">I4s", 8 + len(content), b"uuid")
    )
    path.write_bytes(path.read_bytes() + head + content)
    assert probe(path).not_kept == ("content credentials (C2PA)",)


def test_sound_that_only_its_maker_decodes_is_named_beside_the_one_that_is_copied(tmp_path):
    """Phones write spatial sound as a second track."""
    path = tmp_path / "a.mov"
    with av.open(str(path), "w") as output:
        film = output.add_stream("mpeg4", rate=12)
        film.width, film.height, film.pix_fmt = 64, 48, "yuv420p"
        tones = [output.add_stream(codec, rate=48000, layout="stereo") for codec in ("pcm_s24le", "pcm_s16le")]
        frame = av.VideoFrame.from_ndarray(picture(0), "rgb24")
        frame.pts, frame.time_base = 0, Fraction(1, 12)
        output.mux([*film.encode(frame), *film.encode(None)])
        for tone in tones:
            silence = av.AudioFrame(format="s16", layout="stereo", samples=1024)
            silence.sample_rate, silence.pts, silence.time_base = 48000, 0, Fraction(1, 48000)
            output.mux([*tone.encode(silence), *tone.encode(None)])
    path.write_bytes(path.read_bytes().replace(b"sowt", b"apac"))
    assert outcomes(path, ".mov") == [
        "sound (pcm_s24le): copied",
        "sound (of unknown kind): not kept: no decoder for it",
    ]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_workflows_of_generators_stay(tmp_path, name):
    tags = {"prompt": "x" * 70_000, "workflow": '{"nodes": []}', "comment": "{}"}
    path = make_clip(
        tmp_path / name,
        frames=2,
        metadata=tags,
        container_options={"movflags": "+use_metadata_tags"} if name == "a.mp4" else None,
    )
    assert "prompt" in outcomes(path, ".mp4")[0].lower()
    assert outcomes(path, ".mkv")[0].endswith(": copied")


@pytest.mark.parametrize(("rate", "seconds"), [(8, 1), (12, 1), (24, 1), (24, 2), (30, 1)])
def test_whole_seconds_of_a_gif_last_as_long(tmp_path, rate, seconds):
    edges = [round(100 * number / rate) for number in range(rate * seconds + 1)]
    pictures = [Image.fromarray(picture(number)) for number in range(rate * seconds)]
    durations = [10 * (after - before) for before, after in pairwise(edges)]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=durations)
    clip = probe(tmp_path / "a.gif")
    assert (clip.rate, clip.duration, clip.timestamps) == (rate, seconds, None)


def test_shape_of_pixels_that_changes_within_a_broadcast_is_named(tmp_path):
    parts = []
    for number, aspect in enumerate((Fraction(16, 15), Fraction(64, 45))):
        times = range(12 * number, 12 * number + 12)
        part = make_clip(tmp_path / f"{number}.ts", codec="mpeg2video", rate=25, aspect=aspect, times=times)
        parts.append(part.read_bytes())
    (tmp_path / "a.ts").write_bytes(b"".join(parts))
    assert "changes of the pixel shape; all frames are shown as the first" in probe(tmp_path / "a.ts").not_kept
    assert not any("shape" in lost for lost in probe(tmp_path / "0.ts").not_kept)


@pytest.mark.parametrize("rate", [120, 240])
def test_milliseconds_of_fast_screen_recordings_are_even(tmp_path, rate):
    times = [round(number * 1000 / rate) for number in range(60)]
    clip = probe(make_clip(tmp_path / "a.mkv", rate=rate, frames=60, times=times, time_base=Fraction(1, 1000)))
    assert (clip.rate, clip.timestamps) == (rate, None)
