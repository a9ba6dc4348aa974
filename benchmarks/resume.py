"""Kill an enhancement again and again, let the same command go on, and compare what comes out in the end.

Every run is a process of its own, ended by SIGKILL at a random moment (seeded) or, every fifth time, while the result
is put together. Jobs take turns with kinds of targets. Each is gone on with until it is whole; then its frames and its
sound must be those of a run that nobody disturbed, bit for bit, and of MP4, numbered pictures and WebP the whole files,
and nothing may be left beside it.

Run: python benchmarks/resume.py [--kills 30] [--seed 0] [--folder FOLDER] [--output FILE]
"""

import argparse
import hashlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import av

import venhancer.weights
from venhancer.cli.main import main as venhancer
from venhancer.jobs.work import find_work, work_folder
from venhancer.media.writing.pictures_out import unit_of

CLIP = Path(__file__).parents[1] / "examples" / "meadow_160x90_8fps.mp4"
KILLS_A_JOB = 4
RESULTS = Path(__file__).parent / "results" / "resume.json"
SETTINGS = "--scale 1 --end 1 --fps 32 --window-frames 6 --window-overlap 2 --device cpu --quiet"
KINDS = {
    "FFV1": ("{}.mkv", "--codec ffv1"),
    "H.264": ("{}.mp4", ""),
    "H.264, colour fix": ("{}.mp4", "--color-fix wavelet"),
    "numbered pictures": ("{}/%05d.png", ""),
    "WebP": ("{}.webp", ""),
}
"""Names of targets by the number of the job, and what is requested."""


def main() -> None:
    """Kill, go on, compare, and write what happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    with TemporaryDirectory() as temporary:
        result = measure(given.folder or Path(temporary), given.kills, random.Random(given.seed))
    given.output.write_text(json.dumps({"seed": given.seed, **result}, indent=2) + "\n")
    kills = result["kills"]
    print(
        f"{len(kills)} kills over {result['jobs']} jobs, all results equal: {result['all_equal']}; wrote {given.output}"
    )
    sys.exit(0 if result["all_equal"] else 1)


def measure(folder: Path, wanted: int, chance: random.Random) -> dict:
    """Return every kill, and whether all results were those of the undisturbed run."""
    expected: dict[str, dict] = {}
    took, kills, equal, jobs = [], [], [], 0
    while len(kills) < wanted:
        kind = list(KINDS)[jobs % len(KINDS)]
        name, more = KINDS[kind]
        if kind not in expected:
            began, whole = time.monotonic(), folder / name.format(f"whole_{jobs}")
            finish(start(whole, more))
            took.append(time.monotonic() - began)
            expected[kind] = content(whole)
        target, before = folder / name.format(f"out_{jobs}"), len(kills)
        while not target_exists(target) and len(kills) < wanted and len(kills) < before + KILLS_A_JOB:
            is_at_end = len(kills) % 5 == 4
            kills += kill_once(target, more, None if is_at_end else chance.uniform(0, took[-1]), kind)
        if not target_exists(target) or work_folder(target).exists():
            finish(start(target, more))
        equal.append(content(target) == expected[kind] and not work_folder(target).exists())
        jobs += 1
    return {
        "frames": max(found["frames"] for found in expected.values()),
        "kinds": list(expected),
        "seconds_undisturbed": round(max(took), 2),
        "jobs": jobs,
        "all_equal": all(equal),
        "kills": kills,
    }


def start(target: Path, more: str) -> int:
    """Start the command in a process of its own and return its number."""
    sys.stdout.flush()
    number = os.fork()
    if number == 0:
        try:
            venhancer(["enhance", str(CLIP), str(target), *SETTINGS.split(), *more.split()])
        except BaseException as error:
            print(f"a run ended by itself: {error!r}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return number


def finish(number: int) -> None:
    """Wait for a run to end well."""
    _, status = os.waitpid(number, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit("a run failed that nobody disturbed")


def kill_once(target: Path, more: str, after: float | None, kind: str) -> list[dict]:
    """Start a run and kill it after so many seconds, None: while it puts the result together; return what was there."""
    began, number = time.monotonic(), start(target, more)
    while after is None or time.monotonic() - began < after:
        ended, _ = os.waitpid(number, os.WNOHANG)
        if ended:
            return []  # it was faster
        if after is None and is_assembling(target):
            break
        time.sleep(0.002)
    os.kill(number, signal.SIGKILL)
    os.waitpid(number, 0)
    work = find_work(target)
    return [
        {
            "target": kind,
            "after_seconds": round(time.monotonic() - began, 3),
            "segments_finished": 0 if work is None else len(work.parts),
            "while": "assembling"
            if is_assembling(target)
            else "target in place"
            if target_exists(target)
            else "working",
        }
    ]


def is_assembling(target: Path) -> bool:
    """Tell whether all segments are finished, and the result is put together of them."""
    work = find_work(target)
    return work is not None and work.finished_frames == work.frames and not target_exists(target)


def target_exists(target: Path) -> bool:
    """Tell whether a target is in place: a file, or a folder of numbered pictures."""
    return unit_of(target).exists()


def content(target: Path) -> dict:
    """Return the number of frames or pictures and digests: of what is in Matroska, and of all other files as they are.

    Matroska holds random numbers, so that its frames with their times and the packets of sound are compared.
    """
    if target.suffix != ".mkv":
        files = [target] if target.is_file() else sorted(target.parent.iterdir())
        digest = hashlib.sha256(b"".join(path.name.encode() * (len(files) > 1) + path.read_bytes() for path in files))
        return {"frames": len(files), "files": digest.hexdigest()}
    pictures, sound, frames = hashlib.sha256(), hashlib.sha256(), 0
    with av.open(str(target)) as container:
        for frame in container.decode(video=0):
            pictures.update(f"{frame.pts}".encode() + frame.to_ndarray(format="rgb24").tobytes())
            frames += 1
    with av.open(str(target)) as container:
        for packet in container.demux(audio=0) if container.streams.audio else ():
            sound.update(f"{packet.pts}".encode() + bytes(packet))
    return {"frames": frames, "pictures": pictures.hexdigest(), "sound": sound.hexdigest()}


if __name__ == "__main__":
    main()
