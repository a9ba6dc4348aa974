"""Everything beside the pictures: planned before work starts, and then found in the output as planned."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from av.subtitles.subtitle import AssSubtitle
from av.video.frame import VideoFrame
from PIL import Image

from media.clips import ASS, picture, write_line
from venhancer.media.containers import CONTAINERS, ILST_TAGS, told_language
from venhancer.media.reading.probe import probe
from venhancer.media.tracks import Track, describe_losses, describe_track_plans, describe_tracks, plan_tracks
from venhancer.media.writing.assemble import assemble
from venhancer.media.writing.writer import write_segment
from venhancer.media.writing.writing import Span, Writing

RATE = 24
LINES = ((250, 1000, "one"), (500, 1500, "two"), (1500, 1750, "three"))  # milliseconds; the first two overlap


def cover() -> bytes:
    content = io.BytesIO()
    Image.fromarray(picture(7)).save(content, "JPEG")
    return content.getvalue()


def make_rich(
    path: Path,
    *,
    sound=("aac",),
    subtitles=(),
    attachments=(),
    chapters=(),
    tags=None,
    languages=("eng", "deu"),
    flags=(Disposition.default, Disposition.comment),
    seconds: int = 2,
) -> Path:
    """Write two seconds of film with tracks of every kind, and return the path."""
    with av.open(str(path), "w") as output:
        output.metadata.update(tags or {})
        film = output.add_stream("libx264", rate=RATE)
        film.width, film.height, film.pix_fmt = 64, 48, "yuv420p"
        tones = [output.add_stream(codec, rate=48000) for codec in sound]
        texts = [output.add_stream(codec) for codec in subtitles]
        for group in (tones, texts):
            for number, stream in enumerate(group):
                stream.metadata.update({"language": languages[number % 2], "title": f"track {number}"})
                stream.disposition = flags[number % 2]
        for tone in tones:
            tone.layout = "stereo"
        for text in texts:
            text.codec_context.subtitle_header = ASS
        for name, kind, content in attachments:
            output.add_attachment(name, kind, content)
        output.set_chapters(
            [
                {"id": number, "start": start, "end": end, "time_base": Fraction(1, 1000), "metadata": {"title": title}}
                for number, (start, end, title) in enumerate(chapters, start=1)
            ]
        )
        for number in range(seconds * RATE):
            frame = VideoFrame.from_ndarray(picture(number), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            output.mux(film.encode(frame))
        output.mux(film.encode(None))
        for tone in tones:
            for begin in range(0, seconds * 48000, 960):
                wave = (8000 * np.sin(np.arange(begin, begin + 960) / 20)).astype(np.int16)
                frame = av.AudioFrame.from_ndarray(np.repeat(wave, 2)[None], format="s16", layout="stereo")
                frame.sample_rate, frame.time_base, frame.pts = 48000, Fraction(1, 48000), begin
                output.mux(tone.encode(frame))
            output.mux(tone.encode(None))
        for text in texts:
            for start, end, line in LINES:
                write_line(output, text, line, start, end)
    return path


def enhanced(source: Path, target: Path, **changes) -> Path:
    """Assemble a target beside the tracks of `source`, as an enhancement does."""
    clip = probe(source)
    codec = "h264" if target.suffix != ".webm" else "vp9"
    writing = Writing(**{"width": 64, "height": 48, "rate": clip.rate, **changes})
    segment = target.with_name("segment.mkv")
    if codec == "h264":
        write_segment(segment, (picture(number) for number in range(clip.frames)), writing)
    else:
        with av.open(str(segment), "w") as output:
            film = output.add_stream("libvpx-vp9", rate=clip.rate, options={"deadline": "realtime"})
            film.width, film.height, film.pix_fmt = 64, 48, "yuv420p"
            for number in range(clip.frames):
                frame = VideoFrame.from_ndarray(picture(number), "rgb24")
                frame.pts, frame.time_base = number, 1 / clip.rate
                output.mux(film.encode(frame))
            output.mux(film.encode(None))
    return assemble(target, [segment], writing, clip)


def tracks_of(path: Path) -> list[Track]:
    with av.open(str(path)) as container:
        return list(describe_tracks(container))


def lines_of(path: Path, number: int = 0) -> list[tuple[int, int, str]]:
    """Return the lines of a subtitle track: from when to when, in milliseconds, and the text."""
    lines = []
    with av.open(str(path)) as container:
        stream = container.streams.subtitles[number]
        for packet in container.demux(stream):
            if packet.size and packet.pts is not None:
                begin, length = (round(ticks * packet.time_base * 1000) for ticks in (packet.pts, packet.duration))
                for line in stream.codec_context.decode2(packet) or ():
                    if isinstance(line, AssSubtitle):
                        text = line.ass.decode().split(",", 8)[-1].strip()
                        lines.append((begin, begin + length, text))
    return lines


def by_kind(tracks, kind: str) -> list[Track]:
    return [track for track in tracks if track.kind == kind]


@pytest.fixture(scope="module")
def rich(tmp_path_factory) -> Path:
    return make_rich(
        tmp_path_factory.mktemp("rich") / "a.mkv",
        sound=("aac", "libopus", "flac"),
        subtitles=("subrip", "ass"),
        attachments=[("font.ttf", "application/x-truetype-font", b"a font"), ("cover.jpg", "image/jpeg", cover())],
        chapters=[(0, 1000, "One"), (1000, 2000, "Two")],
        tags={"title": "Grüße", "artist": "me", "odd": "x"},
    )


def test_all_that_a_file_holds_is_described(rich):
    tracks = probe(rich).tracks
    assert [(track.kind, track.codec) for track in tracks] == [
        ("audio", "aac"),
        ("audio", "opus"),
        ("audio", "flac"),
        ("subtitle", "subrip"),
        ("subtitle", "ass"),
        ("attachment", ""),
        ("cover", "mjpeg"),
        ("chapters", ""),
        ("tags", ""),
    ]
    assert [(track.language, track.title, track.flags) for track in tracks[:2]] == [
        ("eng", "track 0", ("default",)),
        ("deu", "track 1", ("comment",)),
    ]
    assert probe(rich).not_kept == ()


def test_matroska_keeps_all_of_it(rich, tmp_path):
    clip = probe(rich)
    plans = plan_tracks(clip.tracks, ".mkv")
    assert all(plan.action == "copied" for plan in plans)
    assert describe_losses(plans) == []
    target = enhanced(rich, tmp_path / "out.mkv")
    after = tracks_of(target)
    for kind in ("audio", "subtitle", "attachment", "cover", "chapters"):
        told = [(t.codec, t.language, t.title, t.flags, t.count) for t in by_kind(after, kind)]
        assert told == [(t.codec, t.language, t.title, t.flags, t.count) for t in by_kind(clip.tracks, kind)]
    with av.open(str(target)) as container:
        assert [stream.data for stream in container.streams.attachments] == [b"a font"]
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["One", "Two"]
        assert container.metadata["ODD"] == "x"
        (jpeg,) = [s for s in container.streams.video if s.disposition & Disposition.attached_pic]
        assert next(bytes(packet) for packet in container.demux(jpeg)) == cover()
    assert lines_of(target, 0) == lines_of(rich, 0) == [*LINES]
    assert lines_of(target, 1) == [*LINES]


def test_mp4_converts_what_it_can_and_says_what_it_cannot(rich, tmp_path):
    plans = plan_tracks(probe(rich).tracks, ".mp4")
    assert [plan.outcome for plan in plans] == [
        "copied",
        "copied",
        "copied",
        "converted to mov_text: .mp4 cannot hold these subtitles",
        "converted to mov_text: .mp4 cannot hold these subtitles",
        "not kept: .mp4 cannot hold attached files",
        "copied",
        "copied",
        "copied: with a cover picture, .mp4 cannot store ODD",
    ]
    target = enhanced(rich, tmp_path / "out.mp4")
    after = tracks_of(target)
    assert [track.codec for track in by_kind(after, "audio")] == ["aac", "opus", "flac"]
    assert [track.codec for track in by_kind(after, "subtitle")] == ["mov_text", "mov_text"]
    assert [track.language for track in by_kind(after, "subtitle")] == ["eng", "deu"]
    assert [track.title for track in by_kind(after, "audio")] == ["track 0", "track 1", "track 2"]
    assert [track.flags for track in by_kind(after, "audio")][:2] == [("default",), ("comment",)]
    assert by_kind(after, "cover")[0].codec == "mjpeg"
    for number in (0, 1):  # one line at a time: where two overlap they stand together
        assert [line for line in lines_of(target, number) if line[2]] == [
            (250, 500, "one"),
            (500, 1000, r"one\Ntwo"),
            (1000, 1500, "two"),
            (1500, 1750, "three"),
        ]
    with av.open(str(target)) as container:
        assert [float(c["start"] * c["time_base"]) for c in container.chapters()] == [0, 1]
        assert container.metadata["title"] == "Grüße"
        assert container.metadata["artist"] == "me"


@pytest.mark.parametrize("suffix", [".mov", ".webm"])
def test_plan_is_what_happens_in_other_containers(rich, tmp_path, suffix):
    plans = plan_tracks(probe(rich).tracks, suffix)
    after = tracks_of(enhanced(rich, tmp_path / f"out{suffix}"))
    for kind in ("audio", "subtitle", "attachment", "cover"):
        kept = [plan for plan in plans if plan.is_kept and plan.track.kind == kind]
        assert [track.codec for track in by_kind(after, kind)] == [plan.codec for plan in kept]
        for plan, track in zip(kept, by_kind(after, kind), strict=True):
            assert track.language == told_language(plan.track.language, CONTAINERS[suffix])
            assert track.title == plan.track.title


def test_slow_motion_leaves_sound_out_and_moves_the_rest(rich, tmp_path):
    plans = plan_tracks(probe(rich).tracks, ".mkv", slow=2)
    assert {plan.outcome for plan in plans if plan.track.kind == "audio"} == {"not kept: slow motion drops sound"}
    target = enhanced(rich, tmp_path / "out.mkv", span=Span(Fraction(0), slow=Fraction(2)))
    assert by_kind(tracks_of(target), "audio") == []
    assert lines_of(target) == [(2 * start, 2 * end, text) for start, end, text in LINES]
    with av.open(str(target)) as container:
        assert [float(c["start"] * c["time_base"]) for c in container.chapters()] == [0, 2]


def test_dozens_of_tracks_fare_alike_in_one_phrase(tmp_path):
    path = make_rich(tmp_path / "a.mkv", sound=("libopus",) * 30, subtitles=("subrip",) * 20, seconds=1)
    plans = plan_tracks(probe(path).tracks, ".mov")
    assert [phrase for phrase in describe_track_plans(plans) if "sound" in phrase and "eng" in phrase] == [
        "15 x sound (opus, eng) encoded to aac: .mov cannot hold this codec"
    ]
    after = tracks_of(enhanced(path, tmp_path / "out.mkv"))
    assert (len(by_kind(after, "audio")), len(by_kind(after, "subtitle"))) == (30, 20)


def test_second_film_data_and_what_nothing_decodes_are_named():
    tracks = [
        Track(index=1, kind="video", codec="h264"),
        Track(index=2, kind="data", codec="bin_data"),
        Track(index=3, kind="audio", can_be_read=False),
        Track(index=4, kind="subtitle", codec="hdmv_pgs_subtitle"),
    ]
    assert describe_losses(plan_tracks(tracks, ".mp4")) == [
        "other video (h264): only the first video is enhanced",
        "data track (bin_data): only its own program understands it",
        "sound (of unknown kind): no decoder for it",
        "subtitles (hdmv_pgs_subtitle): .mp4 cannot hold these subtitles",
    ]
    assert {plan.action for plan in plan_tracks(tracks, ".gif")} == {"not kept"}


def test_sound_of_too_many_channels_is_said_to_be_mixed():
    seven, six = (Track(index=1, kind="audio", codec="dts", channels=channels) for channels in (7, 6))
    (plan,) = plan_tracks([seven], ".mp4")
    assert plan.outcome == "encoded to aac: .mp4 cannot hold this codec; its 7 channels are mixed to stereo"
    (plan,) = plan_tracks([six], ".mp4")
    assert plan.outcome == "encoded to aac: .mp4 cannot hold this codec"


@pytest.mark.parametrize(("layout", "channels"), [("5.1(side)", 6), ("7.1", 8), ("6.1", 7), ("quad", 4), ("mono", 1)])
@pytest.mark.parametrize("suffix", [".mov", ".webm"])
def test_surround_sound_is_encoded(tmp_path, layout, channels, suffix):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as output:
        film, tone = output.add_stream("libx264", rate=RATE), output.add_stream("pcm_s24be", rate=48000)
        film.width, film.height, film.pix_fmt, tone.layout = 64, 48, "yuv420p", layout
        for number in range(RATE):
            frame = VideoFrame.from_ndarray(picture(number), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            output.mux(film.encode(frame))
        output.mux(film.encode(None))
        for begin in range(0, 48000, 960):
            wave = (2**29 * np.sin(np.arange(begin, begin + 960) / 20)).astype(np.int32)
            frame = av.AudioFrame.from_ndarray(np.repeat(wave, channels)[None], format="s32", layout=layout)
            frame.sample_rate, frame.time_base, frame.pts = 48000, Fraction(1, 48000), begin
            output.mux(tone.encode(frame))
    (plan,) = plan_tracks(by_kind(probe(path).tracks, "audio"), ".mp4")
    assert ("mixed" in plan.why) == (channels == 7)
    target = enhanced(path, tmp_path / f"out{suffix}")
    with av.open(str(target)) as container:
        (stream,) = container.streams.audio
        kept = channels if suffix == ".mov" or channels != 7 else 2
        assert stream.channels == kept
        samples = sum(frame.samples for frame in container.decode(stream))
    assert abs(samples - 48000) <= 1024


def test_tags_of_mp4_are_those_its_readers_look_for(tmp_path):
    tags = dict.fromkeys(ILST_TAGS - {"creation_time", "location", "track", "disc"}, "1")
    path = make_rich(tmp_path / "a.mkv", tags=tags, attachments=[("cover.jpg", "image/jpeg", cover())])
    (plan,) = [plan for plan in plan_tracks(probe(path).tracks, ".mp4") if plan.track.kind == "tags"]
    assert plan.why == ""
    with av.open(str(enhanced(path, tmp_path / "out.mp4"))) as container:
        assert {name: container.metadata.get(name) for name in tags} == tags


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_flags_that_a_container_is_said_to_tell_come_back(tmp_path, suffix):
    container = CONTAINERS[suffix]
    for kind, flags in (("audio", container.sound_flags), ("subtitle", container.subtitle_flags)):
        for flag in sorted(flags):
            told = (Disposition.default, Disposition[flag])
            sound, subtitles = (("libopus",) * 2, ("subrip",) * 2) if kind == "subtitle" else (("libopus",) * 2, ())
            path = make_rich(tmp_path / "a.mkv", sound=sound, subtitles=subtitles, flags=told, seconds=1)
            expected = [t.flags for t in by_kind(probe(path).tracks, kind)]
            after = [t.flags for t in by_kind(tracks_of(enhanced(path, tmp_path / f"out{suffix}")), kind)]
            assert all(set(before) & flags <= set(now) for before, now in zip(expected, after, strict=True)), flag
