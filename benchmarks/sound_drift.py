"""How far sound lies off the pictures in outputs, from their beginning to their end.

A source's sound is noise whose every second is known; a clip is made of it in several containers, codecs, rates and
awkward beginnings, planned, written as an enhancement would (the same pictures, without a model) and decoded again. The
known noise is then looked for around the time at which it belongs beside the pictures, to the sample.

Run: python benchmarks/sound_drift.py [--seconds 600] [--cases NAME...] [--output FILE]
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from av.video.frame import VideoFrame

from venhancer.enhance import plan_video
from venhancer.jobs.outcome import writing_of
from venhancer.media.writing.assemble import assemble
from venhancer.media.writing.writer import write_segment
from venhancer.settings import EnhanceSettings

RESULTS = Path(__file__).parent / "results" / "sound_drift.json"
RATE = 48_000
SIZE = (32, 32)
REACH = RATE // 4  # samples either side in which the noise is looked for
LENGTH = RATE // 4  # of the noise that is looked for
ROUNDING = Fraction(1, 900)  # seconds: a little more than the tick of Matroska's clock
NTSC, FILM = Fraction(30000, 1001), Fraction(24000, 1001)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One source and what is made of it.

    Args:
        source: name of the file; its suffix is the container.
        sound: its encoder.
        rate: of its frames.
        fps: of the output, the source's if None.
        target: suffix of the output.
        pictures_late: seconds by which the pictures begin after the sound, below 0 before it.
        start: second of the source at which the output begins.
        video: encoder of the source's pictures.
    """

    source: str
    sound: str
    rate: Fraction
    target: str
    fps: Fraction | None = None
    pictures_late: Fraction = Fraction(0)
    start: Fraction | None = None
    video: str = "libx264"


CASES = {
    "23.976": Case(source="a.mp4", sound="aac", rate=FILM, target=".mp4"),
    "29.97": Case(source="b.mkv", sound="libopus", rate=NTSC, target=".mkv"),
    "25 to 30": Case(source="c.mkv", sound="libmp3lame", rate=Fraction(25), fps=Fraction(30), target=".mp4"),
    "24 to 60": Case(source="d.mov", sound="pcm_s16le", rate=Fraction(24), fps=Fraction(60), target=".mov"),
    "mp4 to mkv": Case(source="a.mp4", sound="aac", rate=FILM, target=".mkv"),
    "encoded to aac": Case(source="e.mkv", sound="flac", rate=Fraction(25), target=".mov"),
    "encoded to opus": Case(source="a.mp4", sound="aac", rate=FILM, target=".webm"),
    "from a transport stream": Case(source="f.ts", sound="aac", rate=NTSC, target=".mp4"),
    "from avi": Case(source="g.avi", sound="pcm_s16le", rate=Fraction(25), target=".mp4", video="mpeg4"),
    "pictures late": Case(source="h.mp4", sound="aac", rate=Fraction(24), target=".mp4", pictures_late=Fraction(1, 3)),
    "pictures late, mkv": Case(
        source="h.mp4", sound="aac", rate=Fraction(24), target=".mkv", pictures_late=Fraction(1, 3)
    ),
    "sound late": Case(source="i.mp4", sound="aac", rate=Fraction(24), target=".mp4", pictures_late=Fraction(-2, 7)),
    "cut": Case(source="a.mp4", sound="aac", rate=FILM, target=".mp4", start=Fraction(5, 4)),
    "cut, mkv": Case(source="a.mp4", sound="aac", rate=FILM, target=".mkv", start=Fraction(5, 4)),
    "cut, encoded": Case(source="e.mkv", sound="flac", rate=Fraction(25), target=".mov", start=Fraction(5, 4)),
}


def main() -> None:
    """Measure every case and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=[*CASES])
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    figures = {}
    with TemporaryDirectory() as folder:
        for name in given.cases:
            figures[name] = measure(CASES[name], given.seconds, Path(folder))
            print(f"{name:24} {json.dumps(figures[name])}", flush=True)
    worst = max(figure["worst_ms"] for figure in figures.values())
    given.output.write_text(
        json.dumps({"seconds": given.seconds, "worst_ms": worst, "cases": figures}, indent=2) + "\n"
    )


def measure(case: Case, seconds: int, folder: Path) -> dict:
    """Return how far sound is off at five moments, and pictures and duration at most, in milliseconds and frames."""
    source, target = folder / case.source, folder / f"out{case.target}"
    if not source.exists():
        make_source(source, case, seconds)
    settings = EnhanceSettings(model="nano", scale=1, shots=False, fps=case.fps, start=case.start)
    plan = plan_video(source, settings)
    writing = writing_of(plan, target)
    segment = folder / f"{writing.codec} {writing.rate.numerator} {writing.rate.denominator} {plan.frames}.mkv"
    if not segment.exists():
        write_segment(segment, (_picture(number) for number in range(plan.frames)), writing)
    assemble(target, [segment], writing, plan.clip)
    times = picture_times(target)
    shown = plan.clip.duration - (plan.timeline.start - plan.clip.start)
    begin = plan.timeline.start - plan.clip.start + case.pictures_late  # on the clock of the noise
    moments = np.linspace(float(max(begin, Fraction(0))) + 1, seconds - 2, 5)
    moments = np.round(moments * RATE) / RATE
    offsets = offsets_of(target, moments, moments - float(begin) + float(times[0]))
    return {
        "sound_ms": [round(1000 * offset, 3) for offset in offsets],
        "worst_ms": round(1000 * max(abs(offset) for offset in offsets), 3),
        "pictures_ms": round(max(float(abs(t - times[0] - n / plan.rate)) for n, t in enumerate(times)) * 1000, 3),
        "duration_frames": round(float((len(times) / plan.rate - shown) * plan.rate), 3),
    }


def noise(second: int) -> np.ndarray:
    """Return one second of the sound: noise below about 3 kHz, which every codec keeps."""
    white = np.random.default_rng(second).normal(0, 1, RATE + 15)
    return np.convolve(white, np.ones(16) / 16, "valid").astype(np.float32)


def make_source(path: Path, case: Case, seconds: int) -> None:
    """Write the source, its two tracks interleaved."""
    late, early = max(case.pictures_late, Fraction(0)), max(-case.pictures_late, Fraction(0))
    options = {"movie_timescale": "90000"} if path.suffix in (".mp4", ".mov") else {}  # or late starts are rounded
    with av.open(str(path), "w", container_options=options) as output:
        film = output.add_stream(
            case.video, rate=case.rate, options={"preset": "ultrafast"} if "264" in case.video else {}
        )
        film.width, film.height, film.pix_fmt = *SIZE, "yuv420p"
        film.codec_context.time_base = 1 / (case.rate * 1000)
        if path.suffix == ".avi":
            film.codec_context.time_base = 1 / case.rate
        sound = output.add_stream(case.sound, rate=RATE)
        sound.layout = "mono"
        base, number = film.codec_context.time_base, 0
        for second in range(seconds):
            samples = (6000 * noise(second)).clip(-32768, 32767).astype(np.int16)
            for first in range(0, RATE, 960):
                frame = av.AudioFrame.from_ndarray(samples[None, first : first + 960], format="s16", layout="mono")
                frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
                frame.pts = second * RATE + first + round(early * RATE)
                output.mux(sound.encode(frame))
            while number / case.rate + late < second + 1:
                picture = VideoFrame.from_ndarray(_picture(number), "rgb24")
                picture.pts, picture.time_base = round((number / case.rate + late) / base), base
                output.mux(film.encode(picture))
                number += 1
        output.mux(film.encode(None))
        output.mux(sound.encode(None))


def _picture(number: int) -> np.ndarray:
    return np.full((*SIZE, 3), number % 200, np.uint8)


def picture_times(path: Path) -> list[Fraction]:
    """Return when each picture is shown, in seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        times = [packet.pts * packet.time_base for packet in container.demux(stream) if packet.pts is not None]
    return sorted(times)


def offsets_of(path: Path, moments: Sequence[float], expected: Sequence[float]) -> list[float]:
    """Return by how many seconds the noise of each moment of the source is heard after the time expected."""
    begins = [round(time * RATE) - REACH for time in expected]
    heard = np.zeros((len(begins), LENGTH + 2 * REACH), np.float32)
    for place, samples in _decoded(path):
        for row, begin in zip(heard, begins, strict=True):
            low, high = max(place, begin), min(place + len(samples), begin + len(row))
            if low < high:
                row[low - begin : high - begin] = samples[low - place : high - place]
    return [_find(*each) for each in zip(heard, begins, moments, expected, strict=True)]


def _find(heard: np.ndarray, begin: int, moment: float, expected: float) -> float:
    first = round(moment * RATE)
    wanted = np.concatenate([noise(first // RATE), noise(first // RATE + 1)])[first % RATE :][:LENGTH]
    match = np.fft.irfft(np.fft.rfft(heard) * np.conj(np.fft.rfft(wanted, len(heard))))[: 2 * REACH]
    lag = int(np.argmax(match))
    likeness = match[lag] / (np.linalg.norm(heard[lag : lag + LENGTH]) * np.linalg.norm(wanted) + 1e-9)
    if likeness < 0.5:
        raise SystemExit(f"the sound of {moment:.2f} s is not near {expected:.2f} s")
    return (begin + lag) / RATE - expected


def _decoded(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    """Yield samples with their places on the output's clock, as a player lays them: side by side but for gaps."""
    end = None
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            samples = frame.to_ndarray()
            if samples.dtype.kind == "i":
                samples = samples / np.float32(np.iinfo(samples.dtype).max)
            place = round(frame.pts * frame.time_base * RATE)
            if end is not None and abs(place - end) <= RATE * ROUNDING:
                place = end
            yield place, samples[0].astype(np.float32)
            end = place + len(samples[0])


if __name__ == "__main__":
    main()
