"""Hundreds of broken files, each of which must end in success or in one clear line.

Run with `make fuzz`, or for one file again `python tests/fuzz/run.py --case 123`, which also keeps it. A worker process
tries the files one by one; if it crashes or hangs, the file it had is to blame, and another worker goes on.
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
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self

import av

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))

from fuzz.mutations import MUTATIONS, mutate  # noqa: E402 - the tests are no package
from fuzz.seeds import make_seeds  # noqa: E402

LIMITS = "side=4096,pixels=4194304,probe_seconds=20"  # so that a header that lies costs seconds, not minutes
SECONDS = 90  # for one file; a worker that starts loads torch first
FINE = ("success", "refused")


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
    kinds = list(MUTATIONS)
    broken = [
        Case(number=n, source=names[n % len(names)], kind=kinds[n // len(names) % len(kinds)], is_enhanced=n % 5 == 0)
        for n in range(len(names), count + len(names))
    ]
    return [*sound, *broken]


class Worker:
    """A process that tries files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> subprocess.Popen[str]:
        """Start another process, in which warnings are errors and temporary files lie where they are seen."""
        (self.folder / "temporary").mkdir(exist_ok=True)
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

    def attempt(self, path: Path, *, is_enhanced: bool) -> dict[str, object]:
        """Return the outcome of one file, whatever it does to the process."""
        outputs = self.folder / "outputs"
        shutil.rmtree(outputs, ignore_errors=True)
        outputs.mkdir()
        process, began = self.process or self.start(), time.monotonic()
        line = json.dumps({"path": str(path), "folder": str(outputs), "enhance": is_enhanced})
        print(line, file=process.stdin, flush=True)
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


def run(chosen: list[Case], seed: int, folder: Path, keep: Path | None) -> list[dict[str, object]]:
    """Return what became of each case; files that should not have ended so are kept."""
    paths = make_seeds(folder / "sources")
    sources = {path.name: path for path in paths}
    found = []
    with Worker(folder) as worker:
        for place, case in enumerate(chosen):
            own = folder / "case"
            own.mkdir()
            path = case.write(sources, seed, own)
            outcome = worker.attempt(path, is_enhanced=case.is_enhanced)
            found.append({**asdict(case), **outcome})
            is_finding = outcome["result"] not in FINE or (case.kind == "none" and outcome["result"] != "success")
            if keep is not None and (is_finding or len(chosen) == 1):
                keep.mkdir(parents=True, exist_ok=True)
                shutil.copytree(path.parent, keep, dirs_exist_ok=True)
                tell(json.dumps(found[-1], indent=1))
            shutil.rmtree(own)
            if place % 50 == 49:
                tell(f"{place + 1} of {len(chosen)}: {dict(Counter(str(one['result']) for one in found))}")
    return found


def report(found: list[dict[str, object]], seed: int, sources: dict[str, str]) -> dict[str, object]:
    """Return the figures of a run as JSON values."""
    broken = [one for one in found if one["kind"] != "none"]

    def counts(field: str) -> dict[str, dict[str, int]]:
        values = sorted({str(one[field]) for one in broken})
        return {value: dict(Counter(str(one["result"]) for one in broken if one[field] == value)) for value in values}

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
        "by_mutation": counts("kind"),
        "findings": [one for one in found if one["result"] not in FINE],
        "sha256_of_sound_files": sources,
    }


def tell(line: str) -> None:
    """Show a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run as asked; the code is 1 if anything ended otherwise than it may."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=750, help="how many broken files")
    parser.add_argument("--seed", type=int, default=0, help="of the whole run")
    parser.add_argument("--case", type=int, help="only this one")
    parser.add_argument("--keep", type=Path, default=Path("fuzz_findings"), help="folder for files that went wrong")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = make_seeds(Path(folder) / "sources")
        hashes = {path.name: sha256(path.read_bytes()).hexdigest()[:16] for path in paths}
        chosen = cases([path.name for path in paths], arguments.cases)
        if arguments.case is not None:
            chosen = [case for case in chosen if case.number == arguments.case]
        found = run(chosen, arguments.seed, Path(folder), arguments.keep)
    figures = report(found, arguments.seed, hashes) if len(chosen) > 1 else {"findings": []}
    if arguments.output:
        arguments.output.write_text(json.dumps(figures, indent=1) + "\n")
    tell(json.dumps({name: figures[name] for name in list(figures)[4:9]}, indent=1))
    sys.exit(1 if figures["findings"] else 0)


if __name__ == "__main__":
    main()
