"""One file on the way a user's file takes: the plan from the command line, all frames, and for some the whole work.

Run as a program it is a worker: a line of JSON for each file on its input, a line with the outcome on its output. What
it must never do is end, hang or say anything else; `fuzz/run.py` watches that from outside.
"""

import json
import os
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from venhancer.cli.main import main as command_line
from venhancer.enhance import enhance_video
from venhancer.errors import VEnhancerError
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import read_frames
from venhancer.settings import EnhanceSettings

if TYPE_CHECKING:
    from venhancer.pipeline import VEnhancerPipeline

CANARY = "canary.ts"  # in the folder where the worker stands; a file may name it, and nobody open it
SETTINGS = EnhanceSettings(scale=2)
FINE = ("success", "refused")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a file.

    Args:
        result: success or refused; else what went wrong.
        stage: plan, read or enhance: how far it came.
        words: of the refusal, or of what went wrong.
        seconds: it took.
    """

    result: str
    stage: str
    words: str = ""
    seconds: float = 0.0


class Wrong(Exception):  # noqa: N818 - it names what happened
    """Something that must never happen: its kind, and what it was."""


def try_file(path: Path, folder: Path, pipeline: "VEnhancerPipeline | None") -> Outcome:
    """Return what becomes of a file; nothing is raised.

    Args:
        path: alone in its folder.
        folder: for outputs, empty.
        pipeline: a model to enhance with; None to stop after all frames are read.
    """
    began, stage, canary = time.monotonic(), ["plan"], Path(CANARY)
    os.utime(canary, ns=(0, canary.stat().st_mtime_ns))
    before = _surroundings(path, folder)
    result, words = "success", ""
    try:
        words = _go(path, folder, pipeline, stage)
        result = "refused" if words else result
        if _surroundings(path, folder) != before:
            result, words = "left something", str(_surroundings(path, folder))
        if canary.stat().st_atime_ns:
            result = "opened another file"
    except Wrong as wrong:
        result, words = wrong.args
    except BaseException:  # every one is a finding
        result, words = "traceback", traceback.format_exc()
    return Outcome(result=result, stage=stage[0], words=words, seconds=round(time.monotonic() - began, 2))


def _go(path: Path, folder: Path, pipeline: "VEnhancerPipeline | None", stage: list[str]) -> str:
    """Return the words of a refusal, none if all went well."""
    code, told, complaints = _run(["plan", str(path), "--json"])
    if code == 2:
        one_line = complaints.startswith("venhancer: ") and complaints.count("\n") == 1 and not told
        if not one_line:
            raise Wrong("not one line", complaints)
        return complaints.strip()
    if code != 0 or complaints:
        raise Wrong("complaint", f"{code}: {complaints}")
    output, refusal = folder / "out.mkv", ""
    with _captured() as said:
        try:
            stage[0] = "read"
            for _ in read_frames(probe(path)):
                pass
            if pipeline is not None:
                stage[0] = "enhance"
                report = enhance_video(path, output, pipeline, SETTINGS)
                if probe(output).frames != report.plan.frames:
                    raise Wrong("half-written", f"{probe(output).frames} of {report.plan.frames} frames")
        except VEnhancerError as error:
            refusal = str(error)
            if "\n" in refusal or output.exists():
                raise Wrong("half-written" if output.exists() else "not one line", refusal) from error
    if said[0]:
        raise Wrong("complaint", said[0])
    with suppress(FileNotFoundError):
        output.unlink()
    return refusal


def _run(words: list[str]) -> tuple[int, str, str]:
    """Return code, output and complaints of a command."""
    code = 0
    with _captured() as complaints, _captured(1) as told:
        try:
            command_line(words)
        except SystemExit as ended:
            code = int(ended.code or 0)
    return code, told[0], complaints[0]


@contextmanager
def _captured(number: int = 2) -> Iterator[list[str]]:
    """Give what is written to a descriptor inside the block, by whatever library; it is there after the block."""
    said: list[str] = []
    kept, held = os.dup(number), os.memfd_create("said")
    os.dup2(held, number)
    try:
        yield said
    finally:
        (sys.stdout if number == 1 else sys.stderr).flush()
        os.dup2(kept, number)
        os.close(kept)
        with open(held, "rb") as file:  # noqa: PTH123 - a descriptor
            file.seek(0)
            said.append(file.read().decode(errors="replace"))


def _surroundings(path: Path, folder: Path) -> object:
    """Return what must be the same after a file as before: open files, files left and when they changed."""
    places = {Path(os.environ["TMPDIR"]), folder, path.parent}
    files = sorted((str(file), file.stat().st_mtime_ns) for place in places for file in place.rglob("*"))
    return len(os.listdir("/proc/self/fd")), files  # noqa: PTH208


def work() -> None:
    """Try the files named on the input, one after the other."""
    warnings.simplefilter("error")
    answers = os.fdopen(os.dup(1), "w")
    pipeline = None
    for line in sys.stdin:
        case = json.loads(line)
        if case["enhance"] and pipeline is None:
            from venhancer.weights import load_pipeline

            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # those of other packages as they load
                pipeline = load_pipeline("nano", device="cpu", dtype="fp32")
        outcome = try_file(Path(case["path"]), Path(case["folder"]), pipeline if case["enhance"] else None)
        print(json.dumps(asdict(outcome)), file=answers, flush=True)


if __name__ == "__main__":
    work()
