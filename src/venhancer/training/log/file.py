"""The files a run's log is kept in: read, cut back to a checkpoint, and written whole; no torch.

`log.jsonl` holds one JSON object a line, each with the step it was written after. Lines with `loss` tell of training,
lines with `validation` of the fixed validation clips, and a line with `stopped` says why a run ended early.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from venhancer.durable import write_whole
from venhancer.errors import InputError, JobFailed
from venhancer.media.source import failures_as

LOG_FILE = "log.jsonl"

Line = dict[str, Any]


def read_log(run: Path) -> list[Line]:
    """Return the lines of a run's log; a last line that was never finished is left out.

    Raises:
        InputError: there is no log, or it is not one of ours.
    """
    file, remedy = run / LOG_FILE, "pass the output folder of a training run"
    try:
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n")[:-1]]
        if not all(isinstance(line, dict) and "step" in line for line in lines):
            raise ValueError("a line has no step")
    except OSError as error:
        raise InputError(f"{run} has no {LOG_FILE} ({error.strerror}); {remedy}") from error
    except ValueError as error:
        raise InputError(f"{file} is not a training log: {error}; {remedy}") from error
    return lines


def cut_log(run: Path, last_step: int) -> None:
    """Drop the lines after a step, which a resumed run writes again."""
    if not (run / LOG_FILE).exists():
        return
    lines = [line for line in read_log(run) if line["step"] <= last_step]
    write_file(run / LOG_FILE, "".join(json.dumps(line) + "\n" for line in lines))


def append_line(run: Path, line: Mapping[str, object]) -> None:
    """Add a line to a run's log.

    Raises:
        JobFailed: it cannot be written.
    """
    with _writing(run / LOG_FILE), (run / LOG_FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def write_file(file: Path, content: bytes | str) -> None:
    """Write a file of a run whole or not at all; its folder is made.

    Raises:
        JobFailed: it cannot be written.
    """
    with _writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, content)


def rounded(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return JSON values with numbers to five digits."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, Mapping):
        return {name: rounded(part) for name, part in value.items()}
    return [rounded(part) for part in value] if isinstance(value, list | tuple) else value


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yield the numbers within, named by their path."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            yield f"{prefix}{name}", value


def _writing(file: Path) -> AbstractContextManager[None]:
    return failures_as(
        JobFailed, f"{file} cannot be written; free some space, then run the same command again to resume"
    )
