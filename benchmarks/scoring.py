"""Thousands of tiny videos scored through a stand-in metric, the process killed again and again in between.

    python benchmarks/scoring.py [--videos 5000] [--kills 6] [--folder data/scoring]

The stand-in is `vbench_flicker`, which needs no network; every video changes by an amount that its number gives, so
each score is known. Kills are SIGKILL at random moments. What is kept is checked: every score is right, no video was
scored twice. An interrupted run of this script goes on too. Prints and writes `benchmarks/results/scoring.json`.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np

from venhancer.evaluation.lossless import write_lossless
from venhancer.evaluation.paper.scoring import read_records
from venhancer.evaluation.paper.vbench import find_suite

RESULTS = Path(__file__).parent / "results" / "scoring.json"
SCORE = """
import sys
from pathlib import Path
from venhancer.evaluation.metrics.registry import metric_named
from venhancer.evaluation.paper.scoring import score_videos
from venhancer.evaluation.paper.vbench import find_suite
files = find_suite(Path(sys.argv[1])).files
score_videos(files, (metric_named("vbench_flicker"),), {}, Path(sys.argv[2]))
"""


def main() -> None:
    """Make videos, score them with kills in between, check and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=5000, help="how many, five a prompt")
    parser.add_argument("--kills", type=int, default=6, help="how often the process is killed")
    parser.add_argument("--seconds", type=float, default=15, help="most seconds before a kill")
    parser.add_argument("--folder", type=Path, default=Path("data/scoring"), help="where videos and records are")
    arguments = parser.parse_args()
    videos, records = arguments.folder / "videos", arguments.folder / "records"
    make_videos(videos, arguments.videos)
    notes = arguments.folder / "kills.json"
    story = json.loads(notes.read_text()) if notes.exists() else {"kills": 0, "seconds": 0.0}
    chance = random.Random(0)
    while len(read_records(records)) < arguments.videos:
        begin = time.monotonic()
        process = subprocess.Popen([sys.executable, "-c", SCORE, str(videos), str(records)])
        limit = chance.uniform(1, arguments.seconds) if story["kills"] < arguments.kills else None
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            story["kills"] += 1
        story["seconds"] = round(story["seconds"] + time.monotonic() - begin, 1)
        notes.write_text(json.dumps(story))
        print(f"{len(read_records(records))} of {arguments.videos} after {story['kills']} kills", flush=True)
    found = {**story, **check(videos, records)}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def make_videos(folder: Path, count: int) -> None:
    """Write what is missing of videos of two frames whose change their number gives."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        file = folder / f"prompt {number // 5}-{number % 5}.mkv"
        if not file.exists():
            frames = np.zeros((2, 16, 16, 3), np.uint8)
            frames[1] = number % 251
            write_lossless(file.with_suffix(".part.mkv"), frames, Fraction(8))
            file.with_suffix(".part.mkv").rename(file)


def check(videos: Path, records: Path) -> dict[str, int]:
    """Return how many lines, videos and wrong scores there are."""
    lines = [line for file in records.iterdir() for line in file.read_bytes().splitlines()]
    whole = []
    for line in lines:
        try:
            whole.append(json.loads(line)["video"])
        except ValueError:
            continue
    known = {name.partition("|")[0]: scores for name, scores in read_records(records).items()}
    wrong = 0
    for file in find_suite(videos).files:
        prompt, number = file.stem.removeprefix("prompt ").split("-")
        change = (int(prompt) * 5 + int(number)) % 251
        wrong += abs(known[file.name]["vbench_flicker.1"] - (1 - change / 255)) > 1e-9
    return {
        "videos": len(known),
        "records": len(whole),
        "scored_twice": len(whole) - len(set(whole)),
        "lines_cut_short": len(lines) - len(whole),
        "wrong_scores": wrong,
    }


if __name__ == "__main__":
    main()
