"""Runs of a fleet for tests: folders of tiny sources, a watcher that remembers, and runs in processes of their own."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from venhancer.fleet.engine import Engine
from venhancer.fleet.items import Item
from venhancer.fleet.job_folder import claim_folder
from venhancer.fleet.ledger import State
from venhancer.fleet.local import LocalEngine
from venhancer.fleet.manifest import read_manifest
from venhancer.fleet.ray_cluster import Pool, RayEngine
from venhancer.fleet.run import Policy, Run
from venhancer.fleet.worker import Setup
from venhancer.settings import parse_settings

TESTS = Path(__file__).parents[1]
COPYING = "fleet.milliseconds:Copying"
JOB = {"model": "none"}


class Memory:
    """A watcher that remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []

    def begin(self, states: Mapping[str, State]) -> None:
        pass

    def tell(self, item: Item, state: State, reason: str, facts: Mapping[str, Any]) -> None:
        self.told.append((item.id, state, reason))

    def progress(self, item: Item, values: Mapping[str, Any]) -> None:
        pass

    def states(self, item: str) -> list[str]:
        return [state for name, state, _ in self.told if name == item]


def make_sources(folder: Path, count: int, **odd: int) -> list[str]:
    """Write sources `00000.mp4` and so on, and return their names; `crash=7` makes the seventh of them crash."""
    folder.mkdir(parents=True, exist_ok=True)
    words = {number: word for word, number in odd.items()}
    names = []
    for number in range(count):
        path = folder / f"{number:05d}.mp4"
        path.write_bytes(f"{words.get(number, 'clip')} {number} ".encode() * 50)
        names.append(path.name)
    return names


def setup_of(out: str, **more: Any) -> Setup:
    """Return the setup of a worker that copies."""
    return Setup(**{"out": out, "scratch": None, "craft": COPYING, **more})


def run_copies(
    source: str,
    out: str,
    *,
    workers: int = 2,
    policy: Policy | None = None,
    watcher: Memory | None = None,
    engine: Callable[[Setup], Engine] | None = None,
    time_limit: float = 60,
    scratch: str | None = None,
    ray_address: str | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, State]:
    """Run over a folder or a manifest with a craft of milliseconds, and return the states by id."""
    settings = parse_settings()
    manifest = read_manifest(source, out, settings)
    job = claim_folder(manifest.out, JOB)
    setup = setup_of(manifest.out.address, scratch=scratch)
    run = Run(
        manifest.items,
        job,
        manifest.out,
        settings=lambda item: item.settings,
        policy=policy or Policy(),
        watcher=watcher or Memory(),
        stop=stop,
    )
    if ray_address is not None:
        pool = Pool(least=workers, most=workers, resources={"bench": 1})
        return run.do(lambda: RayEngine(setup, pool, address=ray_address, time_limit=time_limit))
    return run.do(lambda: engine(setup) if engine else LocalEngine([setup] * workers, time_limit=time_limit))


def start_run(source: str, out: str, *, workers: int = 2, environment: Mapping[str, str] | None = None, **more: Any):
    """Start such a run in a process of its own."""
    code = f"from fleet.runs import run_copies\nrun_copies({source!r}, {out!r}, workers={workers}, **{more!r})"
    return subprocess.Popen([sys.executable, "-c", code], env=environment_of_hands(environment), start_new_session=True)


def environment_of_hands(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment in which processes find the craft of milliseconds."""
    paths = [str(TESTS), *(path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **(more or {})}


def outputs(out: Path) -> dict[str, bytes]:
    """Return all that a user sees in a folder of outputs, but for the records."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and ".venhancer-fleet" not in path.parts and not path.name.endswith(".venhancer.json")
    }
