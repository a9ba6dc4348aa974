"""One page with everything: tables, plots, stills side by side and motion strips, all inside the file."""

import base64
from collections.abc import Iterator, Sequence
from html import escape
from io import BytesIO
from math import isfinite

import numpy as np
from jaxtyping import UInt8

from venhancer.evaluation.clips import TestClip
from venhancer.evaluation.evaluate import INPUT, REFERENCE, Evaluation, shown_frames
from venhancer.evaluation.kept import Kept
from venhancer.evaluation.metrics.metric import Metric
from venhancer.evaluation.tables import Table, describe, failures, heading, table_of_means, tables_by_clip

Picture = UInt8[np.ndarray, "h w 3"]

CLOSE_UP = 160
"""Most pixels a side of the close-ups: as large as can be compared side by side."""


def render_page(evaluation: Evaluation, clips: Sequence[TestClip], kept: Kept) -> str:
    """Return an evaluation as one HTML page that holds its pictures."""
    notes = [*failures(evaluation), *(f"not measured: {line}" for line in evaluation.left_out)]
    parts = [
        f"<h1>Evaluation</h1><p>{escape(describe(evaluation))}</p>",
        _table(table_of_means(evaluation)),
        "".join(f"<p class=note>{escape(line)}</p>" for line in notes),
        "<h2>Means</h2>",
        f"<div class=plots>{''.join(_bars(evaluation, metric) for metric in evaluation.metrics)}</div>",
        "<h2>Clips</h2>",
        *(_clip(evaluation, clip, kept) for clip in clips),
        "<h2>By clip</h2>",
        *(_table(table) for table in tables_by_clip(evaluation)),
    ]
    head = f"<meta charset=utf-8><title>Evaluation</title><style>{_STYLE}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>\n"


def motion_strip(frames: UInt8[np.ndarray, "f h w 3"], row: int, thickness: int = 6) -> UInt8[np.ndarray, "rows w 3"]:
    """Return one row of pixels over time, downwards: even motion is a smooth slope, flicker and repeats are steps."""
    return np.repeat(frames[:, row], thickness, axis=0)


def liveliest(frames: UInt8[np.ndarray, "f h w 3"]) -> tuple[int, int, int]:
    """Return the frame, the row and the column around which most changes: where pictures of a clip are worth taking."""
    if len(frames) == 1:
        return 0, frames.shape[1] // 2, frames.shape[2] // 2
    change = np.abs(np.diff(frames.astype(np.int16), axis=0)).mean(axis=-1)
    rows, columns = (change.mean(axis=axes) for axes in ((0, 2), (0, 1)))
    return len(frames) // 2, int(_smooth(rows).argmax()), int(_smooth(columns).argmax())


def _smooth(values: np.ndarray) -> np.ndarray:
    return np.convolve(values, np.ones(min(31, len(values))), mode="same")


def _clip(evaluation: Evaluation, clip: TestClip, kept: Kept) -> str:
    """Return a clip's close-ups of a frame and its motion strips, a contender beside the other."""
    results = [evaluation.result(clip.name, name) for name in evaluation.contenders]
    results = [one for one in results if not one.error]
    row_frames = shown_frames(clip, evaluation.settings, results[-1], kept)
    number, row, column = liveliest(row_frames)
    number -= number % evaluation.settings.degradation.factor == 0 and number > 0  # one between key frames, if any
    stills, strips = [], []
    for one in results:
        frames = shown_frames(clip, evaluation.settings, one, kept)
        stills.append(_figure(close_up(frames[number], row, column), _caption(one.contender)))
        strips.append(_figure(motion_strip(frames, row), _caption(one.contender)))
    return (
        f"<h3>{escape(clip.name)}</h3><p>Frame {number} around ({column}, {row}), pixel for pixel:</p>"
        f"<div class=pictures>{''.join(stills)}</div>"
        f"<p>Row {row} over time, downwards:</p><div class=pictures>{''.join(strips)}</div>"
    )


def close_up(frame: Picture, row: int, column: int) -> UInt8[np.ndarray, "rows columns 3"]:
    """Return the part of a frame around a place, as far as it fits."""
    height, width, _ = frame.shape
    top, left = (max(0, min(at - CLOSE_UP // 2, side - CLOSE_UP)) for at, side in ((row, height), (column, width)))
    return frame[top : top + CLOSE_UP, left : left + CLOSE_UP]


def _caption(contender: str) -> str:
    return {INPUT: "input, enlarged and held"}.get(contender, contender)


def _figure(picture: Picture, caption: str) -> str:
    from PIL import Image

    file = BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(file, "PNG", optimize=True)
    data = base64.b64encode(file.getvalue()).decode()
    image = f'<img alt="{escape(caption)}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.header)
    rows = "".join(f"<tr>{''.join(_cells(table, number))}</tr>" for number in range(len(table.rows)))
    return f"<h3>{escape(table.title)}</h3><table><tr>{head}</tr>{rows}</table>"


def _cells(table: Table, number: int) -> Iterator[str]:
    for column, cell in enumerate(table.rows[number]):
        mark = " class=best" * ((number, column) in table.best)
        yield f"<td{mark}>{escape(cell)}</td>"


def _bars(evaluation: Evaluation, metric: Metric) -> str:
    """Return a bar a contender for the mean of a metric, drawn from 0; the row no contender made is pale."""
    means = {name: evaluation.mean(name, metric.name) for name in evaluation.contenders}
    finite = [abs(value) for name, value in means.items() if isfinite(value) and name != REFERENCE] or [1.0]
    most = max(finite) or 1.0
    lines = [f'<text x="0" y="14" class=title>{escape(heading(metric))}</text>']
    for number, (name, value) in enumerate(means.items()):
        top = 24 + 20 * number
        pale = " class=pale" * (name in (REFERENCE, INPUT))
        length = min(abs(value) / most, 1) * 130 if isfinite(value) else 0
        lines.append(f'<text x="0" y="{top + 11}">{escape(name[:24])}</text>')
        lines.append(f'<rect{pale} x="150" y="{top}" height="14" width="{length:.1f}"/>')
        lines.append(f'<text x="{155 + length:.1f}" y="{top + 11}">{f"{value:.4g}" if isfinite(value) else "-"}</text>')
    return f'<svg width="350" height="{30 + 20 * len(means)}">{"".join(lines)}</svg>'


_STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1200px; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 0 0 1.5em; font-variant-numeric: tabular-nums }
th, td { padding: .2em .7em; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap }
th { font-weight: 600; background: #f5f5f5 }
th:first-child, td:first-child { text-align: left }
.best { font-weight: 700; background: #eef6ee }
.note { color: #8a4b00; margin: .2em 0 }
.plots, .pictures { display: flex; flex-wrap: wrap; gap: .8em }
.pictures figure { margin: 0 }
.pictures img { display: block; image-rendering: pixelated; max-width: 100% }
figcaption { font-size: 12px; color: #555 }
svg text { font: 12px system-ui, sans-serif; fill: #333 }
svg .title { font-weight: 600 }
svg rect { fill: #4a7db5 }
svg rect.pale { fill: #c4d3e3 }
"""
