"""An evaluation on disk: JSON for programs, Markdown for people, and one page with pictures and plots for both.

What pages of evaluations and of studies have in common is here too.
"""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from html import escape
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from typing import Any

import pydantic_core

from venhancer.durable import write_whole
from venhancer.errors import InputError, JobFailed
from venhancer.evaluation.cache import Cache
from venhancer.evaluation.clips import TestClip
from venhancer.evaluation.evaluation import Evaluation, shown_frames
from venhancer.evaluation.metrics.metric import Metric
from venhancer.evaluation.tables import Table, as_markdown, describe, failures, heading, table_of_means, tables_by_clip
from venhancer.media.source import failures_as
from venhancer.reports.plots import bar_plot, new_figure
from venhancer.reports.sheets import as_file, disputed_box, liveliest_row, motion_strips, stills

STILL_WIDTH, STRIP_WIDTH = 300, 900
"""Of every still and every motion strip, in pixels."""

CROP = (75, 60)
"""Width and height of what is enlarged of a still, in pixels: by four, which leaves every pixel a square."""


def check_report_folder(folder: Path) -> None:
    """Raise unless a report can be written into a folder, which is made.

    Raises:
        InputError: it is a file, or may not be made or written to.
        SettingsError: there is nothing to draw its plots with.
    """
    new_figure(1, 1)
    with failures_as(InputError, f"--output {folder} is not writable; choose another folder"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".check").write_text("")
        (folder / ".check").unlink()


def write_files(folder: Path, contents: Mapping[str, bytes | str]) -> list[Path]:
    """Write files by name into a folder, each whole or not at all, and return them; earlier ones are replaced.

    Raises:
        JobFailed: the disk is full or may not be written to.
    """
    with failures_as(JobFailed, f"the report could not be written to {folder}; free some space"):
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            write_whole(folder / name, content)
    return [folder / name for name in contents]


def write_pages(folder: Path, evaluation: Evaluation, clips: Sequence[TestClip], cache: Cache) -> list[Path]:
    """Write the report of an evaluation and return its files, the page last; raises as `write_files` does."""
    contents = {
        "report.json": json.dumps(to_json(evaluation), indent=1) + "\n",
        "report.md": to_markdown(evaluation),
        "report.html": render_page(evaluation, clips, cache),
    }
    return write_files(folder, contents)


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation as JSON values; what has no number is null."""
    settings, metrics = evaluation.settings, evaluation.metrics
    return json_values(
        {
            "versions": {"venhancer": version("venhancer")},
            "setting": {
                **asdict(settings.degradation),
                "has_reference": settings.has_reference,
                "weights": settings.weights,
            },
            "metrics": _members(metrics, "name", "unit", "higher_is_better", "what", "version"),
            "left_out": evaluation.left_out,
            "frames": evaluation.frames,
            "compared": evaluation.compared,
            "means": {
                name: {metric.name: evaluation.mean(name, metric.name) for metric in metrics}
                for name in evaluation.contenders
            },
            "results": _members(evaluation.results, "clip", "contender", "scores", "seconds", "error"),
        }
    )


def json_values(content: Mapping[str, object]) -> dict[str, Any]:
    """Return a content as JSON values: paths are text, and numbers that are none null."""
    return pydantic_core.from_json(pydantic_core.to_json(content, inf_nan_mode="null"))


def to_markdown(evaluation: Evaluation) -> str:
    """Return an evaluation as a Markdown page."""
    parts = [f"# Evaluation\n\n{describe(evaluation)}", as_markdown(table_of_means(evaluation))]
    notes = [f"- {line}" for line in _notes(evaluation)]
    parts += ["\n".join(notes)] if notes else []
    parts += [as_markdown(table) for table in tables_by_clip(evaluation)]
    return "\n\n".join(parts) + "\n"


def render_page(evaluation: Evaluation, clips: Sequence[TestClip], cache: Cache) -> str:
    """Return an evaluation as one HTML page that holds its pictures."""
    parts = [
        f"<p>{escape(describe(evaluation))}</p>",
        table_as_html(table_of_means(evaluation)),
        *map(note, _notes(evaluation)),
        "<h2>Means</h2>",
        f"<div class=plots>{''.join(_bars(evaluation, metric) for metric in evaluation.metrics)}</div>",
        "<h2>Clips</h2>",
        *(clip_pictures(evaluation, clip, cache) for clip in clips),
        "<h2>By clip</h2>",
        *(table_as_html(table) for table in tables_by_clip(evaluation)),
    ]
    return html_page("Evaluation", parts)


def html_page(title: str, parts: Iterable[str]) -> str:
    """Return a page that needs nothing beside it."""
    head = f"<meta charset=utf-8><title>{title}</title><style>{STYLE}</style>"
    body = f"<h1>{title}</h1>{''.join(parts)}"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{body}</body></html>\n"


def note(line: str) -> str:
    """Return a highlighted line of a page."""
    return f"<p class=note>{escape(line)}</p>"


def picture(content: bytes, what: str, kind: str = "png") -> str:
    """Return a picture as part of a page.

    Args:
        content: of its file.
        what: it shows.
        kind: "png" or "jpeg".
    """
    return f'<img alt="{escape(what)}" src="data:image/{kind};base64,{base64.b64encode(content).decode()}">'


def table_as_html(table: Table) -> str:
    """Return a table with its title as HTML."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.header)
    rows = "".join(f"<tr>{''.join(_cells(table, number))}</tr>" for number in range(len(table.rows)))
    return f"<h3>{escape(table.title)}</h3><table><tr>{head}</tr>{rows}</table>"


def _cells(table: Table, number: int) -> Iterator[str]:
    for column, cell in enumerate(table.rows[number]):
        mark = " class=best" * ((number, column) in table.best)
        yield f"<td{mark}>{escape(cell)}</td>"


def _members(objects: Iterable[object], *names: str) -> list[dict[str, object]]:
    return [{name: getattr(one, name) for name in names} for one in objects]


def _notes(evaluation: Evaluation) -> list[str]:
    return [*failures(evaluation), *(f"not measured: {line}" for line in evaluation.left_out)]


def clip_pictures(evaluation: Evaluation, clip: TestClip, cache: Cache) -> str:
    """Return a clip's stills, the part enlarged where they differ most, and its motion strips, of all contenders."""
    results = [evaluation.result(clip.name, name) for name in evaluation.contenders]
    frames = {
        one.contender: shown_frames(clip, evaluation.settings, one, cache) for one in reversed(results) if not one.error
    }
    reference = frames[evaluation.contenders[-1]]
    middle = len(reference) // 2
    key = middle - middle % evaluation.settings.degradation.factor
    numbers = sorted({key, min(key + 1, len(reference) - 1)})  # a key frame and, where there are any, one between
    shown = [clip[numbers[-1]] for clip in frames.values() if clip.shape == reference.shape]
    sheet = stills(frames, numbers, crop=disputed_box(shown, *CROP), cell_width=STILL_WIDTH)
    strips = motion_strips(frames, row=liveliest_row(reference), width=STRIP_WIDTH)
    return (
        f"<h3>{escape(clip.name)}</h3>{picture(as_file(sheet), f'stills of {clip.name}')}"
        "<p>The liveliest row of pixels over time, downwards:</p>"
        f"{picture(as_file(strips), f'motion of {clip.name}')}"
    )


def _bars(evaluation: Evaluation, metric: Metric) -> str:
    """Return a bar a contender for the mean of a metric; nothing if no clip allows it."""
    means = {name: evaluation.mean(name, metric.name) for name in evaluation.contenders}
    if not any(map(isfinite, means.values())):
        return ""
    plot = bar_plot(means, title=heading(metric), pale=[evaluation.contenders[-1]])
    return picture(as_file(plot), f"means of {metric.name}")


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
