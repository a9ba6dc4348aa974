"""Sound in step with the pictures, from the beginning to the end, and what becomes of sound that is damaged."""

import json
import logging
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from media.clips import make_clip, picture
from venhancer.media.reading.probe import probe
from venhancer.media.tracks import plan_tracks
from venhancer.media.writing.assemble import assemble
from venhancer.media.writing.writer import write_segment
from venhancer.media.writing.writing import Span, Writing

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "sound_drift.py"


def test_sound_stays_in_step_whatever_the_container_rate_and_beginning(tmp_path):
    """The known noise is found within a millisecond of its place, and durations agree within a frame."""
    figures = tmp_path / "figures.json"
    command = [sys.executable, str(BENCHMARK), "--seconds", "5", "--output", str(figures)]
    subprocess.run(command, check=True, capture_output=True)
    cases = json.loads(figures.read_text())["cases"]
    assert len(cases) == 15
    for name, case in cases.items():
        assert case["worst_ms"] <= 1, name
        assert case["pictures_ms"] <= 1, name
        assert abs(case["duration_frames"]) < 1, name


def assembled(source: Path, target: Path, span: Span | None = None) -> Path:
    clip = probe(source)
    writing = Writing(width=64, height=48, rate=clip.rate, span=span)
    frames = clip.frames if span is None or span.end is None else round((span.end - span.start) * clip.rate)
    segment = write_segment(target.with_name("segment.mkv"), (picture(n) for n in range(frames)), writing)
    return assemble(target, [segment], writing, clip)


def sound_of(path: Path) -> tuple[float, np.ndarray]:
    """Return when the sound begins, in seconds, and the samples of its first channel."""
    with av.open(str(path)) as container:
        frames = [(frame.pts * frame.time_base, frame.to_ndarray()) for frame in container.decode(audio=0)]
    is_planar = frames[0][1].shape[0] > 1
    return float(frames[0][0]), np.concatenate([row[0] if is_planar else row[0][::2] for _, row in frames])


def damage_sound(path: Path, target: Path, packets: range) -> Path:
    """Copy a file with some packets of its sound overwritten."""
    with av.open(str(path)) as source, av.open(str(target), "w") as output:
        streams = {stream.index: output.add_stream_from_template(stream, opaque=True) for stream in source.streams}
        number = 0
        for packet in source.demux():
            if packet.dts is None:
                continue
            stream = streams[packet.stream_index]
            sent = packet
            if stream.type == "audio":
                if number in packets:
                    sent = av.Packet(b"\xff" * packet.size)
                    sent.pts, sent.dts, sent.duration = packet.pts, packet.dts, packet.duration
                    sent.time_base = packet.time_base
                number += 1
            sent.stream = stream
            output.mux(sent)
    return target


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_damaged_sound_does_not_end_the_work_and_is_told(tmp_path, suffix, caplog):
    source = damage_sound(make_clip(tmp_path / "a.mkv", frames=48, sound="flac"), tmp_path / "b.mkv", range(6, 9))
    (fate,) = [plan for plan in plan_tracks(probe(source).tracks, suffix) if plan.track.kind == "audio"]
    with caplog.at_level(logging.WARNING):
        target = assembled(source, tmp_path / f"out{suffix}")
    if fate.action == "copied":
        with av.open(str(source)) as before, av.open(str(target)) as after:
            packets = [[bytes(p) for p in c.demux(audio=0) if p.size] for c in (before, after)]
        assert packets[0] == packets[1]
        return
    assert "3 packets of sound track 1 do not decode" in caplog.text
    begin, samples = sound_of(target)
    assert abs(begin + len(samples) / 48000 - 2) < 0.03
    loud = np.abs(samples.astype(float)).reshape(-1)
    level = [loud[round(at * 48000) : round((at + 0.02) * 48000)].max() for at in (0.2, 1.0, 1.5)]
    assert min(level) > 0.1
    with av.open(str(source)) as container:
        damaged = [p for p in container.demux(audio=0) if p.size][6:9]
    middle = round(float(damaged[1].pts * damaged[1].time_base) * 48000)
    assert loud[middle + 1200 : middle + 1600].max() < 0.05 * min(level)


def test_sound_is_cut_with_the_pictures(tmp_path):
    source = make_clip(tmp_path / "a.mkv", frames=72, rate=24, sound="flac")
    span = Span(Fraction(1, 2), Fraction(2), is_cut=True)
    begin, encoded = sound_of(assembled(source, tmp_path / "out.mov", span))
    assert begin == 0
    assert abs(len(encoded) / 48000 - 1.5) <= 1024 / 48000
    copied = assembled(make_clip(tmp_path / "b.mp4", frames=72, rate=24, sound="aac"), tmp_path / "out.mp4", span)
    begin, samples = sound_of(copied)
    assert abs(begin) < 0.001
    assert abs(len(samples) / 48000 - 1.5) <= 1024 / 48000
    assert float(probe(copied).duration) == 1.5


def test_sound_longer_or_shorter_than_the_pictures_stays_whole(tmp_path):
    for frames in (6, 60):
        source = make_clip(tmp_path / "a.mp4", frames=48, rate=24, sound="aac")
        clip = probe(source)
        writing = Writing(width=64, height=48, rate=clip.rate)
        segment = write_segment(tmp_path / "segment.mkv", (picture(n) for n in range(frames)), writing)
        _, samples = sound_of(assemble(tmp_path / "out.mp4", [segment], writing, clip))
        assert abs(len(samples) / 48000 - 2) < 0.05


def test_gap_in_the_sound_stays_a_gap(tmp_path):
    """Half a second of packets is missing; what follows is heard at its own time, copied or encoded."""
    whole, gap = make_clip(tmp_path / "a.mkv", frames=72, rate=24, sound="flac"), tmp_path / "gap.mkv"
    with av.open(str(whole)) as source, av.open(str(gap), "w") as output:
        streams = {stream.index: output.add_stream_from_template(stream, opaque=True) for stream in source.streams}
        for packet in source.demux():
            is_sound = packet.stream.type == "audio"
            if packet.dts is not None and not (is_sound and 1 <= packet.pts * packet.time_base < 1.5):
                packet.stream = streams[packet.stream_index]
                output.mux(packet)
    for suffix in (".mkv", ".mov"):
        with av.open(str(assembled(gap, tmp_path / f"out{suffix}"))) as container:
            last = list(container.decode(audio=0))[-1]
        assert abs(float(last.pts * last.time_base) + last.samples / 48000 - 3) < 0.06
