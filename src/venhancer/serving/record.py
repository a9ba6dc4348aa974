"""What is known of a job: what is asked for, and what became of it, in `job.json` in the job's folder."""

import json
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from venhancer.durable import write_whole
from venhancer.errors import InputError, JobFailed
from venhancer.media.source import failures_as
from venhancer.settings import EnhanceSettings, parse_settings

RECORD = "job.json"
LONGEST_STEM = 60
RESULT, COMPARISON, STILLS, STRIP = "result", "comparison.mp4", "stills.jpg", "strip.jpg"
LATEST, REPORT, SEAMS, BEFORE, AFTER = "latest.jpg", "report.json", "seams.json", "before.jpg", "after.jpg"

State = Literal["queued", "working", "paused", "finished", "failed", "cancelled"]
UNDER_WAY: tuple[State, ...] = ("queued", "working", "paused")


class JobRecord(BaseModel):
    """One job.

    Args:
        id: tells it from all others; later jobs sort after earlier ones.
        created: seconds since 1970.
        name: of the source, as the user calls it.
        source: path of the source; relative to the job's folder if it was uploaded.
        ending: of the target's name, such as ".mp4".
        settings: fields of `EnhanceSettings` that were given, as JSON values.
        preview: whether it is a look at a few frames, which goes before long runs.
        state: what becomes of it; `working` while a process is at it, or if the server was killed then.
        reason: why it failed.
        warnings: what went otherwise than planned.
        not_kept: of the source, in words.
        frames: of the whole output, once it is planned.
        pixels: of all output frames together.
        seconds: the work on it took, over all runs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    program: Literal["venhancer"] = "venhancer"
    format: Literal[1] = 1
    id: str
    created: float
    name: str
    source: str
    ending: str
    settings: dict[str, Any]
    preview: bool = False
    state: State = "queued"
    reason: str = ""
    warnings: tuple[str, ...] = ()
    not_kept: tuple[str, ...] = ()
    frames: int | None = None
    pixels: int | None = None
    seconds: float = 0.0

    @property
    def request(self) -> EnhanceSettings:
        """What is asked for.

        Raises:
            SettingsError: another version of this program allowed what this one does not.
        """
        return parse_settings(**self.settings)

    @property
    def title(self) -> str:
        """What the result is called, without its ending."""
        return f"{plain_stem(self.name)}_{'preview' if self.preview else 'enhanced'}"


def write_record(folder: Path, record: JobRecord) -> None:
    """Write a job's record into its folder.

    Raises:
        JobFailed: it cannot be written; the earlier one stays.
    """
    with failures_as(JobFailed, f"{folder / RECORD} cannot be written; make room"):
        write_whole(folder / RECORD, json.dumps(record.model_dump(mode="json"), indent=1))


def read_record(folder: Path) -> JobRecord:
    """Return the record in a job's folder.

    Raises:
        InputError: there is none, or it is none of ours.
    """
    try:
        return JobRecord.model_validate_json((folder / RECORD).read_bytes())
    except (OSError, ValidationError) as error:
        raise InputError(f"{folder} is not a job of this version; move it elsewhere") from error


def plain_stem(name: str) -> str:
    """Return a file's name without its ending, as letters, digits, dots and dashes only.

    >>> plain_stem("../../my holiday (1).mp4")
    'my_holiday_1'
    """
    stem = Path(name.replace("\\", "/")).stem
    return re.sub(r"[^\w.-]+", "_", stem).strip("._-")[:LONGEST_STEM] or "video"
