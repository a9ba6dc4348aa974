"""What became of each file of a queue, in `venhancer-queue.json` beside the outputs."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from venhancer.durable import write_whole
from venhancer.errors import InputError, JobFailed
from venhancer.jobs.origin import Origin, differences
from venhancer.jobs.work import Mark, work_folder
from venhancer.media.source import failures_as

RECORD = "venhancer-queue.json"

State = Literal["waiting", "working", "finished", "failed", "skipped"]


class Entry(BaseModel):
    """What became of one file.

    Args:
        state: finished, failed or skipped; working while it is made, or if a run was killed then.
        target: the output's path below the output folder.
        reason: why it failed or was skipped.
        not_kept: of the source, in words.
        seconds: the last run took for it.
        origin: what the output depends on.
        result: tells the output from what somebody puts in its place.
        replaced: what was in the output's place before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: State
    target: str | None = None
    reason: str = ""
    not_kept: tuple[str, ...] = ()
    seconds: float | None = None
    origin: dict[str, Any] = {}
    result: Mark | None = None
    replaced: Mark | None = None

    def is_done(self, target: Path, origin: Origin) -> bool:
        """Tell whether the target is what an earlier run made of just this."""
        if not target.is_file() or differences(self.origin, origin):
            return False
        mark = Mark.of(target)
        if self.state == "working":  # killed when the output was in place, before it could be noted
            return mark != self.replaced and not work_folder(target).exists()
        return self.state == "finished" and mark == self.result


class Record(BaseModel):
    """What became of each file, by its path below the folder of the inputs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    program: Literal["venhancer"] = "venhancer"
    format: Literal[1] = 1
    files: dict[str, Entry] = {}

    def count(self, state: State) -> int:
        """Return how many files are in a state."""
        return Counter(entry.state for entry in self.files.values())[state]

    def noting(self, name: str, entry: Entry) -> "Record":
        """Return the record with what became of one file."""
        return self.model_copy(update={"files": self.files | {name: entry}})

    def write(self, out: Path) -> None:
        """Write the record into the folder of the outputs.

        Raises:
            JobFailed: it cannot be written; the earlier one stays.
        """
        with failures_as(
            JobFailed, f"{out / RECORD} cannot be written; free some space, then run the same command again to resume"
        ):
            content = {
                "program": self.program,
                "format": self.format,
                **self.model_dump(mode="json", exclude_defaults=True),
            }
            write_whole(out / RECORD, json.dumps(content, indent=1))


def read_record(out: Path) -> Record:
    """Return the record in a folder of outputs, an empty one if there is none.

    Raises:
        InputError: it cannot be read, or is none of ours.
    """
    path = out / RECORD
    with failures_as(InputError, f"{path} cannot be read; check its permissions"):
        if not path.exists():
            return Record()
        content = path.read_bytes()
    try:
        return Record.model_validate_json(content)
    except ValidationError as error:
        raise InputError(f"{path} is damaged or from another program or version; move it away") from error
