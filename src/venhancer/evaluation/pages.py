"""An evaluation on disk: JSON for programs, Markdown for people, and one page with pictures and plots for both."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from html import escape
from importlib.metadata import version
from math import isfinite
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from venhancer.durable import write_whole
from venhancer.errors import InputError, JobFailed
from venhancer.evaluation.cache import Cache
from venhancer.evaluation.clips import TestClip
from venhancer.evaluation.evaluate import Evaluation, shown_frames
from venhancer.evaluation.metrics.metric import Metric
from venhancer.evaluation.tables import Table, as_markdown, describe, failures, heading, table_of_means, tables_by_clip
from venhancer.reports.plots import bar_plot, new_figure
from venhancer.reports.sheets import as_file, busiest_box, liveliest_row, motion_strips, stills

STILL_WIDTH, STRIP_WIDTH = 300, 900
"""Of every still and every motion strip, in pixels."""

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


def write_pages(folder: Path, evaluation: Evaluation, clips: Sequence[TestClip], cache: Cache) -> list[Path]:
    """Write the report of an evaluation and return its files, replacing an earlier one's.

    Raises:
        JobFailed: the disk is full or may not be written to.
    """
    contents = (
        json.dumps(to_json(evaluation), indent=1) + "\n",
        to_markdown(evaluation),
        render_page(evaluation, clips, cache),
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


def render_page(evaluation: Evaluation, clips: Sequence[TestClip], cache: Cache) -> str:
    """Return an evaluation as one HTML page that holds its pictures."""
    notes = [*failures(evaluation), *(f"not measured: {line}" for line in evaluation.left_out)]
    parts = [
        f"<h1>Evaluation</h1><p>{escape(describe(evaluation))}</p>",
        table_as_html(table_of_means(evaluation)),
        "".join(f"<p class=note>{escape(line)}</p>" for line in notes),
        "<h2>Means</h2>",
        f"<div class=plots>{''.join(_bars(evaluation, metric) for metric in evaluation.metrics)}</div>",
        "<h2>Clips</h2>",
        *(_clip(evaluation, clip, cache) for clip in clips),
        "<h2>By clip</h2>",
        *(table_as_html(table) for table in tables_by_clip(evaluation)),
    ]
    head = f"<meta charset=utf-8><title>Evaluation</title><style>{STYLE}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>\n"


def _clip(evaluation: Evaluation, clip: TestClip, cache: Cache) -> str:
    """Return a clip's stills, the part of most detail enlarged, and its motion strips, of all contenders."""
    results = [evaluation.result(clip.name, name) for name in evaluation.contenders]
    shown = {
        one.contender: shown_frames(clip, evaluation.settings, one, cache) for one in reversed(results) if not one.error
    }
    judged = shown[evaluation.contenders[-1]]
    middle = len(judged) // 2
    key = middle - middle % evaluation.settings.degradation.factor
    numbers = sorted({key, min(key + 1, len(judged) - 1)})  # a key frame and, where there are any, one between
    sheet = stills(shown, numbers, crop=busiest_box(judged[key]), cell_width=STILL_WIDTH)
    strips = motion_strips(shown, row=liveliest_row(judged), width=STRIP_WIDTH)
    return (
        f"<h3>{escape(clip.name)}</h3>{_picture(sheet, f'stills of {clip.name}')}"
        f"<p>The liveliest row of pixels over time, downwards:</p>{_picture(strips, f'motion of {clip.name}')}"
    )


def _picture(picture: UInt8[np.ndarray, "h w 3"], what: str) -> str:
    data = base64.b64encode(as_file(picture)).decode()
    return f'<img alt="{escape(what)}" src="data:image/png;base64,{data}">'


def table_as_html(table: Table) -> str:
    """Return a table with its title as HTML."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.header)
    rows = "".join(f"<tr>{''.join(_cells(table, number))}</tr>" for number in range(len(table.rows)))
    return f"<h3>{escape(table.title)}</h3><table><tr>{head}</tr>{rows}</table>"


def _cells(table: Table, number: int) -> Iterator[str]:
    for column, cell in enumerate(table.rows[number]):
        mark = " class=best" * ((number, column) in table.best)
        yield f"<td{mark}>{escape(cell)}</td>"


def _bars(evaluation: Evaluation, metric: Metric) -> str:
    """Return a bar a contender for the mean of a metric; nothing if no clip allows it."""
    means = {name: evaluation.mean(name, metric.name) for name in evaluation.contenders}
    if not any(isfinite(value) for value in means.values()):
        return ""
    return _picture(bar_plot(means, title=heading(metric), pale=[evaluation.contenders[-1]]), f"means of {metric.name}")


STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1200px; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 0 0 1.5em; font-variant-numeric: tabular-nums }
th, td { padding: .2em .7em; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap }
th { font-weight: 600; background: #f5f5f5 }
th:first-child, td:first-child { text-align: left }
.best { font-weight: 700; background: #eef6ee }
.note { color: #8a4b00; margin: .2em 0 }
.plots { display: flex; flex-wrap: wrap; gap: .8em }
.plots img { width: 31%; min-width: 320px }
img { max-width: 100% }
"""
