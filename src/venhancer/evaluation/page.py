"""One page with everything: tables, plots, stills side by side and motion strips, all inside the file."""

import base64
from collections.abc import Iterator, Sequence
from html import escape
from math import isfinite

import numpy as np
from jaxtyping import UInt8

from venhancer.evaluation.clips import TestClip
from venhancer.evaluation.evaluate import Evaluation, shown_frames
from venhancer.evaluation.kept import Kept
from venhancer.evaluation.metrics.metric import Metric
from venhancer.evaluation.tables import Table, describe, failures, heading, table_of_means, tables_by_clip
from venhancer.reports.plots import bar_plot
from venhancer.reports.sheets import as_file, busiest_box, liveliest_row, motion_strips, stills

STILL_WIDTH, STRIP_WIDTH = 300, 900
"""Of every still and every motion strip, in pixels."""


def render_page(evaluation: Evaluation, clips: Sequence[TestClip], kept: Kept) -> str:
    """Return an evaluation as one HTML page that holds its pictures."""
    notes = [*failures(evaluation), *(f"not measured: {line}" for line in evaluation.left_out)]
    parts = [
        f"<h1>Evaluation</h1><p>{escape(describe(evaluation))}</p>",
        table_as_html(table_of_means(evaluation)),
        "".join(f"<p class=note>{escape(line)}</p>" for line in notes),
        "<h2>Means</h2>",
        f"<div class=plots>{''.join(_bars(evaluation, metric) for metric in evaluation.metrics)}</div>",
        "<h2>Clips</h2>",
        *(_clip(evaluation, clip, kept) for clip in clips),
        "<h2>By clip</h2>",
        *(table_as_html(table) for table in tables_by_clip(evaluation)),
    ]
    head = f"<meta charset=utf-8><title>Evaluation</title><style>{STYLE}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>\n"


def _clip(evaluation: Evaluation, clip: TestClip, kept: Kept) -> str:
    """Return a clip's stills, the part of most detail enlarged, and its motion strips, of all contenders."""
    results = [evaluation.result(clip.name, name) for name in evaluation.contenders]
    shown = {
        one.contender: shown_frames(clip, evaluation.settings, one, kept) for one in reversed(results) if not one.error
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
