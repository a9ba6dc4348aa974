"""Thousands of broken files, each of which must end in success or in one clear line.

Run with `make fuzz`, or for one file again `python tests/fuzz/run.py --case 123`, which also keeps it. Worker processes
try the files one by one; if one crashes or hangs, the file it had is to blame, and another goes on.
"""

import argparse
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from queue import SimpleQueue
from typing import Self

import av

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))

from fuzz.mutations import MUTATIONS, mutate  # noqa: E402 - the tests are no package
from fuzz.seeds import REFUSED, make_canary, make_seeds  # noqa: E402

LIMITS = "side=4096,pixels=4194304,probe_seconds=20"  # so that a header that lies costs seconds, not minutes
SECONDS = 90  # for one file; a worker that starts loads torch first
FINE = ("success", "refused")
WHOLE_WAY = 5  # one file in so many is enhanced

Outcome = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One broken file.

    Args:
        number: what it is made from, together with the seed of the run.
        source: name of the sound file.
        kind: of the mutation, or `none` for the sound file itself.
        is_enhanced: whether it goes the whole way.
    """

    number: int
    source: str
    kind: str
    is_enhanced: bool

    def write(self, sources: dict[str, Path], seed: int, folder: Path) -> Path:
        """Write the file and return its path; one of numbered pictures stands between two that are sound."""
        content = sources[self.source].read_bytes()
        broken = content if self.kind == "none" else mutate(content, self.kind, seed, self.number)
        name = f"{self.number:05d}_{self.source}"
        if not self.source.startswith("numbered"):
            (folder / name).write_bytes(broken)
            return folder / name
        for number, part in enumerate((content, broken, content), start=1):
            (folder / f"{number}_{name}").write_bytes(part)
        return folder / f"%d_{name}"


def cases(names: list[str], count: int) -> list[Case]:
    """Return the cases of a run: first every sound file, then every kind on every file in turn."""
    sound = [Case(number=n, source=name, kind="none", is_enhanced=True) for n, name in enumerate(names)]
    kinds, broken = list(MUTATIONS), []
    for number in range(len(names), count + len(names)):
        turn, place = divmod(number, len(names))
        is_enhanced = (turn + place) % WHOLE_WAY == 0  # in turn, so that every file is, broken in every way
        kind = kinds[turn % len(kinds)]
        broken.append(Case(number=number, source=names[place], kind=kind, is_enhanced=is_enhanced))
    return [*sound, *broken]


class Worker:
    """A process that tries files, in a folder of its own where a canary lies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[str] | None = None
        (folder / "temporary").mkdir(parents=True)
        make_canary(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> subprocess.Popen[str]:
        """Start another process, in which warnings are errors and temporary files lie where they are seen."""
        environment = {
            **os.environ,
            "TMPDIR": str(self.folder / "temporary"),
            "VENHANCER_LIMITS": LIMITS,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]),
        }
        with (self.folder / "complaints").open("w") as complaints:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fuzz.trial"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
                env=environment,
                cwd=self.folder,
            )
        return self.process

    def stop(self) -> int:
        """End the process and return its code."""
        if self.process is None:
            return 0
        self.process.kill()
        with self.process as ended:
            self.process = None
        return ended.returncode

    def attempt(self, case: Case, sources: dict[str, Path], seed: int, keep: Path | None) -> Outcome:
        """Return the outcome of one case, whatever it does to the process; a file that is a finding is kept."""
        own, outputs = self.folder / "case", self.folder / "outputs"
        for folder in (own, outputs):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        path = case.write(sources, seed, own)
        answer = self._answer({"path": str(path), "folder": str(outputs), "enhance": case.is_enhanced})
        outcome = {**asdict(case), "seed": seed, **answer}
        if keep is not None and is_finding(outcome):
            shutil.copytree(own, keep, dirs_exist_ok=True)
        return outcome

    def _answer(self, question: dict[str, object]) -> Outcome:
        process, began = self.process or self.start(), time.monotonic()
        print(json.dumps(question), file=process.stdin, flush=True)
        is_ready, _, _ = select.select([process.stdout], [], [], SECONDS)
        answer = process.stdout.readline() if is_ready else ""
        if answer:
            return json.loads(answer)
        is_hung, seconds = not is_ready, round(time.monotonic() - began, 2)
        code = self.stop() if is_hung else self._ended(process)
        words = f"code {code}: {(self.folder / 'complaints').read_text()[-500:]}"
        return {"result": "hang" if is_hung else "crash", "stage": "", "words": words, "seconds": seconds}

    def _ended(self, process: subprocess.Popen[str]) -> int:
        code = process.wait()
        self.stop()
        return code


def is_finding(one: Outcome) -> bool:
    """Tell whether a case ended otherwise than it may; most sound files must succeed."""
    must_succeed = one["kind"] == "none" and one["source"] not in REFUSED
    return one["result"] != "success" if must_succeed else one["result"] not in FINE


def run(chosen: list[Case], seed: int, folder: Path, keep: Path | None, workers: int = 1) -> Iterator[Outcome]:
    """Yield what becomes of each case, as they end; files that should not have ended so are kept."""
    sources = {path.name: path for path in make_seeds(folder / "sources")}
    free: SimpleQueue[Worker] = SimpleQueue()

    def attempt(case: Case) -> Outcome:
        worker = free.get()
        try:
            return worker.attempt(case, sources, seed, keep)
        finally:
            free.put(worker)

    with ExitStack() as opened, ThreadPoolExecutor(workers) as pool:
        for number in range(workers):
            free.put(opened.enter_context(Worker(folder / f"worker{number}")))
        try:
            for done in as_completed([pool.submit(attempt, case) for case in chosen]):
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)  # of an interrupted run


def _case(one: Outcome) -> Case:
    return Case(**{field.name: one[field.name] for field in fields(Case)})


def resumed(chosen: list[Case], seed: int, folder: Path, keep: Path, workers: int, journal: Path) -> list[Outcome]:
    """Return what became of each case: as the journal tells; the rest, and findings again, are added to it."""
    known = [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
    asked = set(chosen)
    found = {one["number"]: one for one in known if one["seed"] == seed and not is_finding(one) and _case(one) in asked}
    rest = [case for case in chosen if case.number not in found]
    with journal.open("a") as lines:
        for number, one in enumerate(run(rest, seed, folder, keep, workers), start=1):
            found[one["number"]] = one
            print(json.dumps(one), file=lines, flush=True)
            if is_finding(one):
                tell(json.dumps(one, indent=1))
            if number % 50 == 0:
                tell(f"{number} of {len(rest)}: {dict(Counter(str(one['result']) for one in found.values()))}")
    return [found[number] for number in sorted(found)]


def report(found: list[Outcome], seed: int, sources: dict[str, str]) -> Outcome:
    """Return the figures of a run as JSON values."""
    broken = [one for one in found if one["kind"] != "none"]

    def counts(field: str, part: list[Outcome] = broken) -> dict[str, dict[str, int]]:
        values = sorted({str(one[field]) for one in part})
        return {value: dict(Counter(str(one["result"]) for one in part if one[field] == value)) for value in values}

    return {
        "command": f"python tests/fuzz/run.py --cases {len(broken)} --seed {seed}",
        "one_case": f"python tests/fuzz/run.py --seed {seed} --case NUMBER --keep FOLDER",
        "libraries": {"av": av.__version__, "libavcodec": ".".join(map(str, av.library_versions["libavcodec"]))},
        "limits": LIMITS,
        "files": len(broken),
        "outcomes": dict(Counter(str(one["result"]) for one in broken)),
        "whole_way": dict(Counter(str(one["result"]) for one in broken if one["is_enhanced"])),
        "refused_at": dict(Counter(str(one["stage"]) for one in broken if one["result"] == "refused")),
        "slowest_seconds": max(float(str(one["seconds"])) for one in found),
        "sound_files": {str(one["source"]): one["result"] for one in found if one["kind"] == "none"},
        "by_file": counts("source"),
        "whole_way_by_file": counts("source", [one for one in broken if one["is_enhanced"]]),
        "by_mutation": counts("kind"),
        "findings": [one for one in found if is_finding(one)],
        "sha256_of_sound_files": sources,
    }


def tell(line: str) -> None:
    """Show a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run as asked; the code is 1 if anything ended otherwise than it may."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=2000, help="how many broken files")
    parser.add_argument("--seed", type=int, default=0, help="of the whole run")
    parser.add_argument("--case", type=int, help="only this one")
    parser.add_argument("--workers", type=int, default=1, help="processes that try files at the same time")
    parser.add_argument("--journal", type=Path, help="file of outcomes, by which an interrupted run goes on")
    parser.add_argument("--keep", type=Path, default=Path("fuzz_findings"), help="folder for files that went wrong")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = make_seeds(folder / "sources")
        hashes = {path.name: sha256(path.read_bytes()).hexdigest()[:16] for path in paths}
        chosen = cases([path.name for path in paths], arguments.cases)
        if arguments.case is not None:
            chosen = [case for case in chosen if case.number == arguments.case]
            arguments.keep.mkdir(parents=True, exist_ok=True)
            chosen[0].write({path.name: path for path in paths}, arguments.seed, arguments.keep)
        journal = arguments.journal or folder / "journal"
        found = resumed(chosen, arguments.seed, folder, arguments.keep, arguments.workers, journal)
    if arguments.case is not None:
        tell(json.dumps(found, indent=1))
        return
    figures = report(found, arguments.seed, hashes)
    if arguments.output:
        arguments.output.write_text(json.dumps(figures, indent=1) + "\n")
    tell(json.dumps({name: figures[name] for name in list(figures)[4:9]}, indent=1))
    sys.exit(1 if figures["findings"] else 0)


if __name__ == "__main__":
    main()
