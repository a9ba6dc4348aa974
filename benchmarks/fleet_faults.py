"""Kill a fleet's workers, runs, actors and nodes at random moments, and see that nothing is lost, double or half.

Runs are processes of their own, with a craft of milliseconds (`tests/fleet/milliseconds.py`) in place of a model; the
campaign itself is `tests/fleet/faults.py`, of which the tests run a short version. Parts: `local` (workers and runs are
killed), `two` (the same, two runs on one folder), `ray` (workers, actors, raylets and drivers on a real cluster on this
machine), `many` (5,000 items with an odd one in fifty, a few kills), `room` (workers and runs are killed while the disk
of the scratch folder is full or the object store refuses what writes; needs the right to mount a tmpfs).

Run: python benchmarks/fleet_faults.py [--parts local,two,ray,many,room] [--kills 30] [--seed 0] [--output FILE]
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "fleet_faults.json"
sys.path[0] = str(ROOT / "tests")  # in place of this folder, whose `fleet` is another

from fleet.faults import Campaign, Troubles, full, is_clean, small_disk  # noqa: E402 - after the path to it
from fleet.object_store import serve  # noqa: E402
from fleet.runs import environment_of_hands  # noqa: E402
from venhancer.fleet.stores import Store  # noqa: E402

PARTS = ("local", "two", "ray", "many", "room")


def main() -> None:
    """Run the parts asked for, and write what came of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--items", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    results = json.loads(given.output.read_text()) if given.output.exists() else {}
    for part in given.parts.split(","):
        began = time.monotonic()
        with TemporaryDirectory() as folder:
            verdict = run_part(part, Path(folder), given.kills, given.items, random.Random(given.seed))
        name = f"{part}, seed {given.seed}"
        results[name] = {**verdict, "clean": is_clean(verdict), "seconds": round(time.monotonic() - began)}
        print(f"{name}: {json.dumps(results[name])}", flush=True)
        given.output.write_text(json.dumps(results, indent=2) + "\n")
    sys.exit(0 if all(result["clean"] for result in results.values()) else 1)


def run_part(part: str, folder: Path, kills: int, items: int, chance: random.Random) -> dict:
    """Return the verdict of one part."""
    if part == "many":
        campaign = Campaign(folder, items, chance, {"time_limit": 3})
        campaign.go(kills // 5, longest=6.0)
        return campaign.verdict()
    if part == "ray":
        return run_on_ray(folder, kills, chance)
    if part == "room":
        return run_out_of_room(folder, kills, chance)
    campaign = Campaign(folder, 200, chance, {"time_limit": 4}, drivers=2 if part == "two" else 1, pace=0.1)
    campaign.go(kills, longest=1.5)
    return campaign.verdict()


def run_on_ray(folder: Path, kills: int, chance: random.Random) -> dict:
    """Return the verdict of a campaign on a cluster of three nodes, of which one is killed now and then."""
    from ray.cluster_utils import Cluster

    noted = {"FLEET_SEGMENTS": str(folder / "segments"), "FLEET_PACE": "0.1"}  # which nodes hand on to their workers
    os.environ.update(environment_of_hands(noted))
    memory = {"object_store_memory": 80 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **memory})
    nodes = [cluster.add_node(num_cpus=1, resources={"bench": 1}, **memory) for _ in range(2)]
    campaign = Campaign(folder, 100, chance, {"ray_address": cluster.address, "time_limit": 4}, pace=0.1)

    def other(run: subprocess.Popen) -> str | None:
        what = chance.random()
        if what < 0.2:
            victim = nodes.pop(chance.randrange(len(nodes)))
            cluster.remove_node(victim, allow_graceful=False)
            nodes.append(cluster.add_node(num_cpus=1, resources={"bench": 1}, **memory))
            return "raylet"
        hands = campaign.hands(run) if what < 0.5 else []
        for actor in filter(None, (hand.parent() for hand in hands[:1])):
            actor.kill()
            return "actor"
        return None

    try:
        campaign.go(kills, longest=2.0, other=other)
        return campaign.verdict()
    finally:
        cluster.shutdown()


def run_out_of_room(folder: Path, kills: int, chance: random.Random) -> dict:
    """Return the verdict of a campaign in which the disk is full, or the store refuses what writes, for a while."""
    with small_disk(folder / "scratch", "1m") as scratch, serve() as (refusals, environment):
        os.environ.update(environment)
        Store("s3://").fs.mkdir("clips")
        options = {"scratch": str(scratch), "time_limit": 20}
        campaign = Campaign(folder, 100, chance, options, pace=0.05, bucket="s3://clips")
        kinds = {"disk full": lambda: full(scratch), "store refuses": refusals.always}
        campaign.go(kills, longest=2.0, other=Troubles(campaign, kinds, 2.5))
        return campaign.verdict()


if __name__ == "__main__":
    main()
