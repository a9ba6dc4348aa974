"""What an enhancement did: for people, scripts and the page."""

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from venhancer.durable import write_whole
from venhancer.errors import InputError
from venhancer.jobs.origin import versions
from venhancer.plan import EnhancePlan
from venhancer.settings import AnyPath


@dataclass(frozen=True, slots=True, kw_only=True)
class EnhanceReport:
    """What was done.

    Args:
        plan: what was planned, which is what was done.
        target: the file written.
        seconds: this run took, reading and writing included.
        frames_before: output frames that earlier runs had finished and this one only assembled.
        device: it ran on, as torch names it.
        dtype: number format of the networks.
    """

    plan: EnhancePlan
    target: Path
    seconds: float
    frames_before: int = 0
    device: str
    dtype: str

    def to_json(self) -> Mapping[str, object]:
        """Return the report as JSON values: plan, timing, versions."""
        frames = self.plan.frames - self.frames_before
        return {
            "target": str(self.target),
            "plan": self.plan.to_json(),
            "seconds": round(self.seconds, 2),
            "seconds_per_frame": round(self.seconds / frames, 3) if frames else None,
            "frames_before": self.frames_before,
            "device": self.device,
            "dtype": self.dtype,
            "versions": {"python": platform.python_version(), **versions()},
        }

    def save(self, path: AnyPath) -> Path:
        """Write the report as JSON."""
        path = Path(path)
        write_whole(path, json.dumps(self.to_json(), indent=2) + "\n")
        return path


def check_report(report: Path, source: Path, target: Path, *, overwrite: bool) -> None:
    """Raise unless a report can be written, before any work is done.

    Raises:
        InputError: its folder is not there or not writable, it is the source or target, or it exists.
    """
    if not os.access(report.parent, os.W_OK) or report.is_dir() or not report.parent.is_dir():
        raise InputError(f"--json {report} cannot be written; choose a file in an existing folder")
    if report.resolve() in (target.resolve(), source.resolve()):
        raise InputError(f"--json {report} is the source or the target; choose another name")
    if report.exists() and not overwrite:
        raise InputError(f"--json {report} exists; pass --overwrite or choose another name")
