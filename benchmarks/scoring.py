"""Thousands of tiny videos scored by the fleet, runs and workers killed again and again in between.

    python benchmarks/scoring.py [--videos 5000] [--kills 12] [--workers 2] [--folder data/scoring]

The metric is `vbench_flicker`, which needs no network; every video changes by an amount that its number gives, so each
score is known. Of every 500 videos one is damaged and one crashes its worker. Kills are SIGKILL at random moments, of
a run or of one of its workers. In the end: every score is right, none was noted twice, none is lost, odd videos are
put aside with their reasons, and another run does nothing. Prints and writes `benchmarks/results/scoring.json`.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "scoring.json"
sys.path[0] = str(ROOT / "tests")  # in place of this folder

from fleet.runs import environment_of_hands  # noqa: E402 - after the path to it
from venhancer.evaluation.lossless import write_lossless  # noqa: E402
from venhancer.evaluation.paper.vbench import find_suite  # noqa: E402
from venhancer.fleet.ledger import LEDGER  # noqa: E402

ODD_EVERY = 500
SCORE = """
import json, sys
from pathlib import Path
from evaluation.paper.poison import CRAFT
from venhancer.evaluation.metrics.registry import metric_named
from venhancer.evaluation.paper.scoring import Crew, score_videos
from venhancer.evaluation.paper.vbench import find_suite
files, crew = find_suite(Path(sys.argv[1])).files, Crew(workers=int(sys.argv[3]), craft=CRAFT)
scores, unscored = score_videos(files, (metric_named("vbench_flicker"),), {}, Path(sys.argv[2]), crew=crew)
Path(sys.argv[4]).write_text(json.dumps([scores, unscored]))
"""


def main() -> None:
    """Make videos, score them with kills in between, check and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=5000, help="how many, five a prompt")
    parser.add_argument("--kills", type=int, default=12, help="how often a run or a worker is killed")
    parser.add_argument("--workers", type=int, default=2, help="of each run")
    parser.add_argument("--seed", type=int, default=0, help="of the kills")
    parser.add_argument("--folder", type=Path, default=Path("data/scoring"), help="where videos and records are")
    given = parser.parse_args()
    videos, records, notes = (given.folder / name for name in ("videos", "records", "scored"))
    make_videos(videos, given.videos)
    shutil.rmtree(records, ignore_errors=True)
    notes.unlink(missing_ok=True)
    answer = given.folder / "answer.json"
    answer.unlink(missing_ok=True)
    words = [sys.executable, "-c", SCORE, str(videos), str(records), str(given.workers), str(answer)]
    environment = environment_of_hands({"SCORED": str(notes)})
    chance, kills, begin = random.Random(given.seed), Counter[str](), time.monotonic()
    moments = sorted(chance.sample(range(given.videos), given.kills))  # as scores that there are at least
    while not answer.exists():
        process = subprocess.Popen(words, env=environment)
        while process.poll() is None:
            time.sleep(chance.uniform(0, 1))
            if moments and (count := count_done(records)) >= moments[0]:
                moments.pop(0)
                kills[kill(process, chance)] += 1
                print(f"{count} of {given.videos} after {kills.total()} kills", flush=True)
    seconds = time.monotonic() - begin
    lines = sum(1 for _ in events(records))
    begin = time.monotonic()
    subprocess.run(words, env=environment, check=True)
    found = {
        "kills": dict(kills),
        "workers": given.workers,
        "seconds": round(seconds, 1),
        "seconds_of_another_run": round(time.monotonic() - begin, 1),
        "noted_by_another_run": sum(1 for _ in events(records)) - lines,
        **check(videos, records, notes, answer),
    }
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def make_videos(folder: Path, count: int) -> None:
    """Write what is missing of videos of two frames whose change their number gives; some are odd, see above."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        kind = odd(number) or "prompt"
        file = folder / f"{kind} {number // 5}-{number % 5}.mkv"
        if kind == "damaged":
            file.write_bytes(b"no video")
        elif not file.exists():
            frames = np.zeros((2, 16, 16, 3), np.uint8)
            frames[1] = number % 251
            write_lossless(file.with_suffix(".part.mkv"), frames, Fraction(8))
            file.with_suffix(".part.mkv").rename(file)


def odd(number: int) -> str:
    """Return what is odd about a video; nothing of most."""
    return {100: "damaged", 300: "crash"}.get(number % ODD_EVERY, "")


def kill(process: subprocess.Popen[bytes], chance: random.Random) -> str:
    """Kill a run, or a worker of it if it has any, and return which."""
    workers = psutil.Process(process.pid).children()
    if workers and chance.random() < 0.5:
        chance.choice(workers).kill()
        return "worker"
    process.kill()
    process.wait()
    return "run"


def events(records: Path):
    """Yield all whole lines of all ledgers."""
    for file in (records / LEDGER).glob("*.jsonl"):
        for line in file.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                yield json.loads(line)


def count_done(records: Path) -> int:
    """Return how many scores were noted."""
    return sum(file.read_bytes().count(b'"event": "done"') for file in (records / LEDGER).glob("*.jsonl"))


def done(records: Path) -> Counter[str]:
    """Return how often each score was noted."""
    return Counter(line["id"] for line in events(records) if line["event"] == "done")


def check(videos: Path, records: Path, notes: Path, answer: Path) -> dict[str, int]:
    """Return how many videos there are, and how many of them are not as they must be."""
    scores, unscored = json.loads(answer.read_text())
    wrong = lost = sound = 0
    for file in find_suite(videos).files:
        kind, _, name = file.stem.partition(" ")
        if kind == "prompt":
            prompt, number = name.split("-")
            change = (int(prompt) * 5 + int(number)) % 251
            score = scores.get(file.name, {}).get("vbench_flicker")
            sound += 1
            lost += score is None
            wrong += score is not None and abs(score - (1 - change / 255)) > 1e-9
    aside = {video: reason for video, _, reason in unscored}
    computed = Counter(notes.read_text().splitlines())
    return {
        "videos": len(find_suite(videos).files),
        "sound_videos": sound,
        "wrong_scores": wrong,
        "lost_scores": lost,
        "scores_noted_twice": sum(count > 1 for count in done(records).values()),
        "scores_computed_again_after_a_kill": computed.total() - len(computed),
        "crashing_videos_put_aside": sum("crashed its worker" in reason for reason in aside.values()),
        "damaged_videos_put_aside": sum("crashed" not in reason for reason in aside.values()),
        "sound_videos_put_aside": sum(video.startswith("prompt") for video in aside),
        "ledgers": len(list((records / LEDGER).iterdir())),
        "bytes_of_ledgers": sum(file.stat().st_size for file in (records / LEDGER).iterdir()),
    }


if __name__ == "__main__":
    main()
