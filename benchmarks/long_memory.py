"""Peak memory over a clip's length: the same few seconds, looped, through `venhancer enhance` as a user calls it.

    python benchmarks/long_memory.py [--seconds 10 120 600] [--plot FILE]

The clip is the demo's, shrunk to 32x18 so that ten minutes take minutes, played to and fro without a cut (one shot, the
longest thing there is) beside a tone; each length is a process of its own, whose largest resident memory the system
tells: torch, the model, reading, segments, writing and sound all count. Writes `results/long_memory.json` and the plot.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from itertools import cycle, islice
from pathlib import Path

import av
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from venhancer.evaluation.degrade import resize
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import read_frames
from venhancer.reports.plots import line_plot

FOLDER = Path(__file__).parent
SOURCE = FOLDER.parent / "examples" / "meadow_160x90_8fps.mp4"
RESULTS = FOLDER / "results" / "long_memory.json"
PLOT = FOLDER.parent / "docs" / "images" / "long-memory.png"
WIDTH, HEIGHT, RATE, TONE_RATE = 32, 18, 10, 8000
SETTINGS = ("--scale", "2", "--device", "cpu", "--dtype", "fp32", "--quiet")


def main() -> None:
    """Measure every length, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, nargs="+", default=[10, 120, 600], help="lengths")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the figures go")
    parser.add_argument("--plot", type=Path, default=PLOT, help="where the plot goes")
    arguments = parser.parse_args()
    frames = resize(np.stack(list(read_frames(probe(SOURCE)))), HEIGHT, WIDTH, "bicubic")
    found = []
    for seconds in arguments.seconds:
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "in.mp4", Path(folder) / "out.mp4"
            make_clip(source, frames, seconds)
            started = time.perf_counter()
            peak = run([sys.executable, "-m", "venhancer", "enhance", str(source), str(target), *SETTINGS])
            written = probe(target)
        row = {"seconds": seconds, "output_frames": written.frames, "peak_mib": round(peak / 2**20, 1)}
        found.append(row | {"took_seconds": round(time.perf_counter() - started)})
        print(found[-1], flush=True)
    shortest, longest = found[0], found[-1]
    result = {
        "output": [WIDTH * 2, HEIGHT * 2, RATE],
        "lengths": found,
        "growth": round(longest["peak_mib"] / shortest["peak_mib"] - 1, 4),
    }
    arguments.results.write_text(json.dumps(result, indent=1) + "\n")
    points = [(row["seconds"] / 60, row["peak_mib"]) for row in found]
    plot = line_plot(
        {"peak": points, "the shortest + 5 %": [(x, points[0][1] * 1.05) for x, _ in points]},
        title="Peak resident memory of venhancer enhance (nano, 64x36)",
        across="minutes of video",
        upward="MiB",
    )
    Image.fromarray(plot).save(arguments.plot, optimize=True)
    print(f"{result['growth']:+.1%} from {shortest['seconds']} s to {longest['seconds']} s")


def run(command: list[str]) -> int:
    """Return the largest resident memory of a program and of what it starts, in bytes.

    Raises:
        RuntimeError: it failed.
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed")
    return usage.ru_maxrss * 1024


def make_clip(path: Path, frames: UInt8[np.ndarray, "f h w 3"], seconds: int) -> None:
    """Write frames, played to and fro, for so many seconds, with a tone."""
    there_and_back = [*frames, *frames[-2:0:-1]]
    with av.open(path, "w") as container:
        video = container.add_stream("libx264", rate=RATE, options={"crf": "12"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = container.add_stream("aac", rate=TONE_RATE, layout="mono")
        for number, picture in enumerate(islice(cycle(there_and_back), seconds * RATE)):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(sound.encode(tone(number)))
        container.mux([*video.encode(), *sound.encode()])


def tone(number: int) -> av.AudioFrame:
    """Return the tone beside a frame."""
    length = TONE_RATE // RATE
    samples = np.arange(number * length, (number + 1) * length)
    wave = (8000 * np.sin(2 * np.pi * 440 / TONE_RATE * samples)).astype(np.int16)[None]
    frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = TONE_RATE, number * length, Fraction(1, TONE_RATE)
    return frame


if __name__ == "__main__":
    main()
