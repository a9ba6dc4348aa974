"""What an enhancement did: for people, scripts and the page."""

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from venhancer.durable import write_whole
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
        frames_before: output frames that earlier runs had finished, which this one only put in their place.
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
        made = self.plan.frames - self.frames_before
        return {
            "target": str(self.target),
            "plan": self.plan.to_json(),
            "seconds": round(self.seconds, 2),
            "seconds_per_frame": round(self.seconds / made, 3) if made else None,
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
