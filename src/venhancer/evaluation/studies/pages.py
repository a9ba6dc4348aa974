"""Studies on disk: JSON for programs, Markdown for people, pictures, and one page that holds everything."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.metadata import version
from math import isfinite
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from venhancer.durable import write_whole
from venhancer.errors import JobFailed
from venhancer.evaluation.metrics.metric import Metric
from venhancer.evaluation.pages import STYLE, table_as_html
from venhancer.evaluation.studies.run import INPUT, TRUTH, Finding, StudySettings
from venhancer.evaluation.tables import Table, as_markdown, heading
from venhancer.reports.plots import bar_plot, line_plot
from venhancer.reports.sheets import as_file, contact_sheet, motion_strips

Picture = UInt8[np.ndarray, "_ _ 3"]

NO_EFFECT = 0.05
"""Levels of 255: outputs nearer to one another than this are the same to anybody's eyes."""

MOST_CLIPS = 4
"""Clips shown on one sheet; figures are over all."""

NAMES = ("studies.json", "studies.md", "studies.html")


def write_studies(folder: Path, model: str, settings: StudySettings, findings: Sequence[Finding]) -> list[Path]:
    """Write what studies found and return the files, the page first, replacing earlier ones.

    Raises:
        JobFailed: the disk is full or may not be written to.
    """
    pictures = {name: content for finding in findings for name, content in _pictures(finding).items()}
    if any(finding.done for finding in findings):
        pictures["overview.jpg"] = as_file(overview(findings), ".jpg", quality=80)
    page = render_page(model, settings, findings, pictures)
    texts = (
        json.dumps(to_json(model, settings, findings), indent=1) + "\n",
        to_markdown(model, settings, findings),
        page,
    )
    contents = {**{name: text.encode() for name, text in zip(NAMES, texts, strict=True)}, **pictures}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            write_whole(folder / name, content)
    except OSError as error:
        raise JobFailed(f"studies could not be written to {folder} ({error.strerror}); make room") from error
    return [folder / name for name in (NAMES[-1], *(name for name in contents if name != NAMES[-1]))]


def verdict(finding: Finding) -> str:
    """Return in a sentence whether the setting matters."""
    if len(finding.done) < 2:
        return "Fewer than two values gave an output, so nothing can be said."
    if finding.reach < NO_EFFECT:
        return f"No effect: outputs differ by {finding.reach:.3f} levels of 255 at most."
    one, other = max(finding.differences, key=lambda pair: finding.differences[pair])
    return f"Outputs differ by up to {finding.reach:.2f} levels of 255 ({one} and {other})."


def table_of(finding: Finding) -> Table:
    """Return a row a value and a column a metric, each with its change from the first value."""
    rows = []
    for label in (INPUT, *finding.labels):
        if label in finding.errors:
            rows.append((label, *["-"] * len(finding.metrics), "failed"))
            continue
        cells = [_cell(finding, label, metric) for metric in finding.metrics]
        change = finding.change(label) if label not in (INPUT, *finding.done[:1]) else float("nan")
        rows.append((label, *cells, f"{change:.2f}" if isfinite(change) else ""))
    header = ("value", *map(heading, finding.metrics), "difference to the first, levels")
    return Table(title=finding.study.name, header=header, rows=tuple(rows))


def contact_sheet_of(finding: Finding, *, cell_width: int = 280) -> UInt8[np.ndarray, "h w 3"]:
    """Return a row a clip and a column a value, each picture with the same part enlarged.

    Raises:
        ValueError: no value gave an output.
    """
    names = list(finding.shown)[:MOST_CLIPS]
    columns = [INPUT, *finding.done, *([] if finding.study.is_refining else [TRUTH])]
    return contact_sheet(
        [[finding.shown[name].stills.get(column) for column in columns] for name in names],
        rows=names,
        columns=columns,
        title=finding.study.what,
        crop=[finding.shown[name].crop for name in names],
        cell_width=cell_width,
    )


def overview(findings: Sequence[Finding], *, cell_width: int = 200) -> UInt8[np.ndarray, "h w 3"]:
    """Return a row a study: the part of the first clip worth looking at, with every value.

    Raises:
        ValueError: no study has an output.
    """
    done = [finding for finding in findings if finding.done]
    widest = max((len(finding.done) for finding in done), default=0)
    pictures, captions = [], []
    for finding in done:
        shown = next(iter(finding.shown.values()))
        parts: list[Picture | None] = [shown.crop.cut(shown.stills[label]) for label in finding.done]
        pictures.append(parts + [None] * (widest - len(parts)))
        captions.append([*finding.done, *[""] * (widest - len(parts))])
    return contact_sheet(
        pictures, rows=[finding.study.name for finding in done], captions=captions, cell_width=cell_width
    )


def render_page(model: str, settings: StudySettings, findings: Sequence[Finding], pictures: Mapping[str, bytes]) -> str:
    """Return everything as one HTML page that holds its pictures."""
    parts = [f"<h1>What the settings do</h1><p>{escape(_describe(model, settings, findings))}</p>"]
    for finding in findings:
        study = finding.study
        parts += [
            f"<h2>{escape(study.name)}</h2><p>{escape(study.what)}</p>",
            f"<p>Expected: {escape(study.expected)}<br><b>{escape(verdict(finding))}</b></p>",
            *(f"<p class=note>{escape(line)}</p>" for line in _failures(finding)),
            table_as_html(table_of(finding)),
        ]
        for name in (one for one in pictures if one.startswith((f"{study.name}.", f"{study.name}-"))):
            kind = "png" if name.endswith(".png") else "jpeg"
            data = base64.b64encode(pictures[name]).decode()
            parts.append(
                f'<p><img alt="{escape(name)}" style="max-width: 100%" src="data:image/{kind};base64,{data}"></p>'
            )
    head = f"<meta charset=utf-8><title>What the settings do</title><style>{STYLE}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>\n"


def to_markdown(model: str, settings: StudySettings, findings: Sequence[Finding]) -> str:
    """Return everything as a Markdown page; pictures are beside it."""
    parts = [f"# What the settings do\n\n{_describe(model, settings, findings)}"]
    for finding in findings:
        study, table = finding.study, as_markdown(table_of(finding)).partition("\n\n")[2]
        parts.append(f"## {study.name}\n\n{study.what}\n\nExpected: {study.expected}\n**{verdict(finding)}**")
        parts += ["\n".join(f"- {line}" for line in _failures(finding))] if finding.errors else []
        parts += [table] + ([f"![{study.name}]({study.name}.jpg)"] if finding.done else [])
    return "\n\n".join(parts) + "\n"


def to_json(model: str, settings: StudySettings, findings: Sequence[Finding]) -> Mapping[str, object]:
    """Return everything as JSON values; what has no number is null."""
    return {
        "versions": {"venhancer": version("venhancer")},
        "model": Path(model).name,
        "setting": {"scale": settings.scale, "factor": settings.factor, "seed": settings.seed},
        "prompts": dict(settings.prompts),
        "studies": [
            {
                "name": finding.study.name,
                "what": finding.study.what,
                "values": list(finding.study.values),
                "labels": list(finding.labels),
                "errors": dict(finding.errors),
                "means": {
                    label: {metric.name: _plain(finding.mean(label, metric.name)) for metric in finding.metrics}
                    for label in (INPUT, *finding.done)
                },
                "scores": {
                    clip: {
                        label: {name: _plain(value) for name, value in found.items()} for label, found in one.items()
                    }
                    for clip, one in finding.scores.items()
                },
                "differences": [[*pair, round(value, 4)] for pair, value in finding.differences.items()],
            }
            for finding in findings
        ],
    }


def _pictures(finding: Finding) -> dict[str, bytes]:
    """Return the files of a study: its sheet, its strips where time matters, its plots."""
    if not finding.done:
        return {}
    name = finding.study.name
    files = {f"{name}.jpg": as_file(contact_sheet_of(finding), ".jpg")}
    if finding.study.shows_motion:
        for clip, shown in list(finding.shown.items())[:MOST_CLIPS]:
            strips = motion_strips(dict(shown.lines), title=f"{clip}: one row of pixels over time")
            files[f"{name}-motion-{_file_word(clip)}.png"] = as_file(strips)
    files[f"{name}-plots.png"] = as_file(_plots(finding))
    return files


def _plots(finding: Finding) -> Picture:
    """Return a plot a metric, three beside one another."""
    plots = [_plot(finding, metric) for metric in finding.metrics]
    drawn: list[Picture | None] = [plot for plot in plots if plot is not None]
    drawn += [None] * (-len(drawn) % 3)
    rows = [drawn[first : first + 3] for first in range(0, len(drawn), 3)]
    return contact_sheet(rows or [[None]], cell_width=420)


def _plot(finding: Finding, metric: Metric) -> Picture | None:
    means = {label: finding.mean(label, metric.name) for label in finding.done}
    if not any(map(isfinite, means.values())):
        return None
    values = dict(zip(finding.labels, finding.study.values, strict=True))
    title = f"{metric.name} ({'higher' if metric.higher_is_better else 'lower'} is better)"
    if finding.study.choices:
        return bar_plot(means, title=title, width=420)
    line = [(float(values[label]), mean) for label, mean in means.items()]
    return line_plot({metric.name: line}, title=title, across=finding.study.name, upward=metric.unit, size=(420, 280))


def _cell(finding: Finding, label: str, metric: Metric) -> str:
    """Return a mean, and behind it how much it differs from that of the first value."""
    value, first = finding.mean(label, metric.name), finding.mean(finding.done[0], metric.name) if finding.done else 0.0
    if not isfinite(value):
        return "-"
    digits = 2 if metric.unit else 3
    change = value - first
    is_other = label not in (INPUT, *finding.done[:1]) and isfinite(change)
    return f"{value:.{digits}f}" + (f" ({change:+.{digits}f})" if is_other else "")


def _describe(model: str, settings: StudySettings, findings: Sequence[Finding]) -> str:
    clips = list(findings[0].scores) if findings else []
    return (
        f"Model {Path(model).name}; {settings.scale:g} times the size and {settings.factor} times the rate where a "
        f"study does not say otherwise; seed {settings.seed}. Means over {len(clips)} clip{'s' * (len(clips) != 1)}: "
        f"{', '.join(clips)}. In brackets: change from the first value. Where a study varies the input, the row "
        f'"{INPUT}" is of the first value\'s.'
    )


def _failures(finding: Finding) -> Iterator[str]:
    for label, error in finding.errors.items():
        yield f"{label} failed: {error}"


def _file_word(text: str) -> str:
    """Return a name of a clip as part of a file's name."""
    return "".join(character if character.isalnum() else "-" for character in text)


def _plain(value: float) -> float | None:
    return round(value, 6) if isfinite(value) else None
