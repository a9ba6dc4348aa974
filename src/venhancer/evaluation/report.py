"""An evaluation on disk: JSON for programs, Markdown for people, and one page with pictures and plots for both."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from math import isfinite
from pathlib import Path

from venhancer.durable import write_whole
from venhancer.errors import InputError, JobFailed
from venhancer.evaluation.clips import TestClip
from venhancer.evaluation.evaluate import Evaluation
from venhancer.evaluation.kept import Kept
from venhancer.evaluation.page import render_page
from venhancer.evaluation.tables import as_markdown, describe, failures, table_of_means, tables_by_clip
from venhancer.reports.plots import new_figure

NAMES = ("report.json", "report.md", "report.html")


def check_report_folder(folder: Path) -> None:
    """Raise unless a report can be written into a folder, which is made.

    Raises:
        InputError: it is a file, or may not be made or written to.
        SettingsError: there is nothing to draw its plots with.
    """
    new_figure(1, 1)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".check").write_text("")
        (folder / ".check").unlink()
    except OSError as error:
        raise InputError(f"--output {folder} cannot be written to ({error.strerror}); name another folder") from error


def write_report(folder: Path, evaluation: Evaluation, clips: Sequence[TestClip], kept: Kept) -> list[Path]:
    """Write the report of an evaluation and return its files, replacing an earlier one's.

    Raises:
        JobFailed: the disk is full or may not be written to.
    """
    contents = (
        json.dumps(to_json(evaluation), indent=1) + "\n",
        to_markdown(evaluation),
        render_page(evaluation, clips, kept),
    )
    files = [folder / name for name in NAMES]
    try:
        for file, content in zip(files, contents, strict=True):
            write_whole(file, content)
    except OSError as error:
        raise JobFailed(f"the report could not be written to {folder} ({error.strerror}); make room") from error
    return files


def to_json(evaluation: Evaluation) -> Mapping[str, object]:
    """Return an evaluation as JSON values; what has no number is null."""
    settings = evaluation.settings
    return {
        "versions": {"venhancer": version("venhancer")},
        "setting": {
            **asdict(settings.degradation),
            "has_reference": settings.has_reference,
            "weights": {name: str(path) for name, path in settings.weights.items()},
        },
        "metrics": [
            {
                "name": m.name,
                "unit": m.unit,
                "higher_is_better": m.higher_is_better,
                "what": m.what,
                "version": m.version,
            }
            for m in evaluation.metrics
        ],
        "left_out": list(evaluation.left_out),
        "frames": dict(evaluation.frames),
        "compared": list(evaluation.compared),
        "means": {
            name: {metric.name: _plain(evaluation.mean(name, metric.name)) for metric in evaluation.metrics}
            for name in evaluation.contenders
        },
        "results": [
            {
                "clip": one.clip,
                "contender": one.contender,
                "scores": {name: _plain(value) for name, value in one.scores.items()},
                "seconds": one.seconds,
                "error": one.error,
            }
            for one in evaluation.results
        ],
    }


def to_markdown(evaluation: Evaluation) -> str:
    """Return an evaluation as a Markdown page."""
    parts = [f"# Evaluation\n\n{describe(evaluation)}", as_markdown(table_of_means(evaluation))]
    notes = [*failures(evaluation), *(f"not measured: {line}" for line in evaluation.left_out)]
    parts += ["\n".join(f"- {line}" for line in notes)] if notes else []
    parts += [as_markdown(table) for table in tables_by_clip(evaluation)]
    return "\n\n".join(parts) + "\n"


def _plain(value: float) -> float | None:
    return value if isfinite(value) else None
