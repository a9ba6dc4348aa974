"""What a fleet costs beside the enhancement: time an item, memory of the run, and how both grow with items.

A craft of milliseconds stands in for a model (`tests/fleet/milliseconds.py`) where the overhead is measured; the speed
of two workers and the repeated work after a kill are measured with the embedded model.

Run: python benchmarks/fleet.py [--parts overhead,memory,workers,resume] [--output FILE]
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
CLIP = ROOT / "examples" / "meadow_160x90_8fps.mp4"
RESULTS = Path(__file__).parent / "results" / "fleet.json"
PICTURE = ROOT / "docs" / "images" / "fleet-growth.png"
sys.path[0] = str(ROOT / "tests")  # in place of this folder, whose `fleet` is another

from fleet.runs import JOB, environment_of_hands, make_sources, run_copies  # noqa: E402 - after the path to it
from venhancer.fleet.job_folder import claim_folder  # noqa: E402
from venhancer.fleet.ledger import LedgerWriter  # noqa: E402
from venhancer.fleet.manifest import read_manifest  # noqa: E402
from venhancer.settings import parse_settings  # noqa: E402

COUNTS = (1000, 2000, 5000)
PARTS = ("overhead", "memory", "workers", "resume")
SETTINGS = "--scale 2 --device cpu --quiet"


def main() -> None:
    """Measure the parts asked for, and write them down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    given = parser.parse_args()
    os.environ["PYTHONPATH"] = environment_of_hands()["PYTHONPATH"]
    if given.only:
        measure_one(given.only)
        return
    results = json.loads(given.output.read_text()) if given.output.exists() else {}
    for part in given.parts.split(","):
        results[part] = {"overhead": overhead, "memory": memory, "workers": workers, "resume": resume}[part]()
        print(f"{part}: {json.dumps(results[part])}", flush=True)
        given.output.write_text(json.dumps(results, indent=2) + "\n")
    if "overhead" in results and "memory" in results:
        draw(results)


def overhead() -> list[dict]:
    """Return seconds of a run of so many items, which take no time themselves, with one worker."""
    return [in_a_process(f"overhead {count}") for count in COUNTS]


def memory() -> list[dict]:
    """Return the most resident memory of a run of so many items, of which all but twenty are done already."""
    return [in_a_process(f"memory {count}") for count in (100, 5000, 50_000)]


def in_a_process(words: str) -> dict:
    """Return what a process of its own measures."""
    command = [sys.executable, __file__, "--only", words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure_one(words: str) -> None:
    """Measure in this process, and print it."""
    what, number = words.split()
    if what == "notes":
        note_done(number)
        return
    count = int(number)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_sources(folder / "in", count)
        began, before, used = time.monotonic(), peak(), sum(os.times()[:4])
        found = {"items": count}
        if what == "overhead":
            run_copies(str(folder / "in"), str(folder / "out"), workers=1)
            took, used = time.monotonic() - began, sum(os.times()[:4]) - used
            found |= {"seconds": round(took, 2), "milliseconds_an_item": round(1000 * took / count, 2)}
            found["processor_milliseconds_an_item"] = round(1000 * used / count, 2)
            began = time.monotonic()
            run_copies(str(folder / "in"), str(folder / "out"), workers=1)
            found["second_run_seconds"] = round(time.monotonic() - began, 2)
        else:
            subprocess.run([sys.executable, __file__, "--only", f"notes {folder}"], check=True)
            run_copies(str(folder / "in"), str(folder / "out"), workers=1)
            found |= {"peak_mib": round(peak(), 1), "before_mib": round(before, 1)}
        print(json.dumps(found))


def note_done(folder: str) -> None:
    """Note all items but twenty as done, as an earlier run would have."""
    manifest = read_manifest(f"{folder}/in", f"{folder}/out", parse_settings())
    job = claim_folder(manifest.out, JOB)
    with LedgerWriter(manifest.out, items=len(manifest.items), job=job) as writer:
        for item in manifest.items[20:]:
            facts = {"output": item.output, "frames": 4, "seconds": 0.0}
            writer.note("running", item.key(job), item.id)
            writer.note("done", item.key(job), item.id, facts=facts)


def peak() -> float:
    """Return the most resident memory of this process, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def workers() -> dict:
    """Return the speed of two workers over one, each of one thread, with the embedded model."""
    os.environ["OMP_NUM_THREADS"] = "1"
    found = {}
    for number in (1, 2):
        with TemporaryDirectory() as temporary:
            folder = copies(Path(temporary), 32)
            took = enhance(folder, f"--workers {number}")
            records = [json.loads(path.read_text()) for path in (folder / "out").glob("*.venhancer.json")]
            found[number] = {"seconds": round(took, 1), "busy": round(sum(one["seconds"] for one in records), 1)}
    return {**found, "speed_of_two": round(found[1]["seconds"] / found[2]["seconds"], 2)}


def resume() -> dict:
    """Return what was made again after everything was killed at half."""
    with TemporaryDirectory() as temporary:
        folder = copies(Path(temporary), 8)
        command = command_of(folder, "--workers 2 --fps 24 --window-frames 6 --window-overlap 2")
        process = subprocess.Popen(command, start_new_session=True)
        while len(list((folder / "out").glob("*.venhancer.json"))) < 4 or not any(map(finished_frames, works(folder))):
            time.sleep(0.02)
        process.kill()
        process.wait()
        time.sleep(1)  # for its workers to notice
        done = len(list((folder / "out").glob("*.venhancer.json")))
        unfinished = works(folder)
        kept = sum(map(finished_frames, unfinished))
        subprocess.run(command, check=True)
        records = [json.loads(path.read_text()) for path in (folder / "out").glob("*.venhancer.json")]
        return {
            "items": 8,
            "done_when_killed": done,
            "under_way_when_killed": len(unfinished),
            "done_in_the_end": len(records),
            "frames_in_finished_segments_when_killed": kept,
            "frames_of_them_taken_over": sum(record["frames_before"] for record in records),
        }


def works(folder: Path) -> list[Path]:
    """Return the manifests of clips that are under way."""
    return list((folder / "out").rglob("manifest.json"))


def finished_frames(manifest: Path) -> int:
    """Return how many frames the finished segments of a clip have; 0 if it is published meanwhile."""
    try:
        return sum(part["frames"] for part in json.loads(manifest.read_text())["parts"])
    except FileNotFoundError:
        return 0


def copies(folder: Path, count: int) -> Path:
    """Make so many clips, and return the folder they lie in."""
    (folder / "in").mkdir()
    for number in range(count):
        shutil.copy(CLIP, folder / "in" / f"{number:02d}.mp4")
    return folder


def command_of(folder: Path, words: str) -> list[str]:
    """Return the command that enhances them."""
    paths = [str(folder / "in"), str(folder / "out")]
    return [sys.executable, "-m", "venhancer", "fleet", "run", *paths, *SETTINGS.split(), *words.split()]


def enhance(folder: Path, words: str) -> float:
    """Return the seconds that the command takes."""
    began = time.monotonic()
    subprocess.run(command_of(folder, words), check=True)
    return time.monotonic() - began


def draw(results: dict) -> None:
    """Draw how time and memory grow with items."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    times, sizes = results["overhead"], results["memory"]
    left.plot([one["items"] for one in times], [one["seconds"] for one in times], "o-")
    left.set(xlabel="items", ylabel="seconds without the enhancement", xlim=0, ylim=0)
    right.plot([one["items"] for one in sizes], [one["peak_mib"] for one in sizes], "o-")
    right.set(xlabel="items", ylabel="peak memory of the run, MiB", xlim=0, ylim=0)
    figure.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main()
