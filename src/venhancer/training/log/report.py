"""What is left of a run when it is over: `report.json`, its totals, where its loss came from, and with what it ran."""

import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import torch

from venhancer.training.log.buckets import BucketRow
from venhancer.training.log.file import rounded, write_file
from venhancer.training.settings import TrainSettings

REPORT_FILE = "report.json"
PACKAGES = ("venhancer", "torch", "diffusers", "transformers", "accelerate", "numpy", "av")


def write_report(settings: TrainSettings, totals: Mapping[str, Any], losses: Mapping[str, Sequence[BucketRow]]) -> None:
    """Write the report of a run into its folder.

    Args:
        settings: of the run.
        totals: steps, clips, seconds, validations and whatever else is to be told.
        losses: mean losses by kind of bucket.

    Raises:
        JobFailed: it cannot be written.
    """
    report = {
        **totals,
        "peak_memory_bytes": peak_memory(),
        **{name: [row._asdict() for row in rows] for name, rows in losses.items()},
    }
    versions = {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}
    report = rounded(report) | {"versions": versions, "settings": settings.model_dump(mode="json")}
    write_file(settings.output / REPORT_FILE, json.dumps(report, indent=2) + "\n")


def peak_memory() -> int:
    """Return the most bytes this process has held: on the accelerator if there is one, else in memory; 0 if unknown."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024
