"""Studies on disk: JSON for programs, Markdown for people, pictures, and one page that holds everything."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from venhancer.evaluation.metrics.metric import Metric
from venhancer.evaluation.pages import html_page, json_values, note, picture, table_as_html, write_files
from venhancer.evaluation.studies.run import INPUT, TRUTH, Finding, StudySettings
from venhancer.evaluation.tables import Table, as_markdown, heading
from venhancer.reports.plots import bar_plot, line_plot
from venhancer.reports.sheets import as_file, contact_sheet, motion_strips

Picture = UInt8[np.ndarray, "_ _ 3"]

TITLE = "What the settings do"

NO_EFFECT = 0.05
"""Levels of 255: outputs nearer to one another than this look the same."""

MOST_CLIPS = 4
"""Clips shown on one sheet; figures are over all."""


def write_studies(folder: Path, model: str, settings: StudySettings, findings: Sequence[Finding]) -> list[Path]:
    """Write what studies found and return the files, the page first, replacing earlier ones.

    Raises:
        JobFailed: the disk is full or may not be written to.
    """
    pictures = {name: content for finding in findings for name, content in _pictures(finding).items()}
    if any(finding.outputs for finding in findings):
        pictures["overview.jpg"] = as_file(overview(findings), ".jpg", quality=80)
    texts = {
        "studies.html": render_page(model, settings, findings, pictures),
        "studies.json": json.dumps(to_json(model, settings, findings), indent=1) + "\n",
        "studies.md": to_markdown(model, settings, findings),
    }
    return write_files(folder, texts | pictures)


def verdict(finding: Finding) -> str:
    """Return in a sentence whether the setting matters."""
    if len(finding.outputs) < 2:
        return "Fewer than two values gave an output, so there is nothing to compare."
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
        change = finding.change(label) if label not in (INPUT, *finding.outputs[:1]) else float("nan")
        rows.append((label, *cells, f"{change:.2f}" if isfinite(change) else ""))
    header = ("value", *map(heading, finding.metrics), "difference from the first, levels")
    return Table(title=finding.study.name, header=header, rows=tuple(rows))


def contact_sheet_of(finding: Finding, *, cell_width: int = 280) -> UInt8[np.ndarray, "h w 3"]:
    """Return a row a clip and a column a value, each picture with the same part enlarged.

    Raises:
        ValueError: no value gave an output.
    """
    clips = dict(list(finding.pictures.items())[:MOST_CLIPS])
    columns = [INPUT, *finding.outputs, *([] if finding.study.is_refining else [TRUTH])]
    return contact_sheet(
        [[clip.stills.get(column) for column in columns] for clip in clips.values()],
        rows=list(clips),
        columns=columns,
        title=finding.study.what,
        crop=[clip.crop for clip in clips.values()],
        cell_width=cell_width,
    )


def overview(findings: Sequence[Finding], *, cell_width: int = 200) -> UInt8[np.ndarray, "h w 3"]:
    """Return a row a study: the part of the first clip worth looking at, with every value.

    Raises:
        ValueError: no study has an output.
    """
    rows = {finding.study.name: finding for finding in findings if finding.outputs}
    widest = max((len(finding.outputs) for finding in rows.values()), default=0)
    pictures, captions = [], []
    for finding in rows.values():
        clip, missing = next(iter(finding.pictures.values())), widest - len(finding.outputs)
        pictures.append([*(clip.crop.cut(clip.stills[label]) for label in finding.outputs), *[None] * missing])
        captions.append([*finding.outputs, *[""] * missing])
    return contact_sheet(pictures, rows=list(rows), captions=captions, cell_width=cell_width)


def render_page(model: str, settings: StudySettings, findings: Sequence[Finding], pictures: Mapping[str, bytes]) -> str:
    """Return everything as one HTML page that holds its pictures."""
    parts = [f"<p>{escape(_describe(model, settings, findings))}</p>"]
    for finding in findings:
        study = finding.study
        parts += [
            f"<h2>{escape(study.name)}</h2><p>{escape(study.what)}</p>",
            f"<p>Expected: {escape(study.expected)}<br><b>{escape(verdict(finding))}</b></p>",
            *map(note, _failures(finding)),
            table_as_html(table_of(finding)),
        ]
        own = (name for name in pictures if name.startswith((f"{study.name}.", f"{study.name}-")))
        kinds = {".png": "png", ".jpg": "jpeg"}
        parts += [f"<p>{picture(pictures[name], name, kinds[Path(name).suffix])}</p>" for name in own]
    return html_page(TITLE, parts)


def to_markdown(model: str, settings: StudySettings, findings: Sequence[Finding]) -> str:
    """Return everything as a Markdown page; pictures are beside it."""
    parts = [f"# {TITLE}\n\n{_describe(model, settings, findings)}"]
    for finding in findings:
        study, table = finding.study, as_markdown(table_of(finding)).partition("\n\n")[2]
        parts.append(f"## {study.name}\n\n{study.what}\n\nExpected: {study.expected}\n**{verdict(finding)}**")
        parts += ["\n".join(f"- {line}" for line in _failures(finding))] if finding.errors else []
        parts += [table] + ([f"![{study.name}]({study.name}.jpg)"] if finding.outputs else [])
    return "\n\n".join(parts) + "\n"


def to_json(model: str, settings: StudySettings, findings: Sequence[Finding]) -> dict[str, Any]:
    """Return everything as JSON values; what has no number is null."""
    content = {
        "versions": {"venhancer": version("venhancer")},
        "model": Path(model).name,
        "setting": {"scale": settings.scale, "factor": settings.factor, "seed": settings.seed},
        "prompts": settings.prompts,
        "studies": [
            {
                "name": finding.study.name,
                "what": finding.study.what,
                "values": finding.study.values,
                "labels": finding.labels,
                "errors": finding.errors,
                "means": {
                    label: {metric.name: round(finding.mean(label, metric.name), 6) for metric in finding.metrics}
                    for label in (INPUT, *finding.outputs)
                },
                "scores": {
                    clip: {
                        label: {name: round(value, 6) for name, value in scores.items()}
                        for label, scores in by_label.items()
                    }
                    for clip, by_label in finding.scores.items()
                },
                "differences": [[*pair, round(value, 4)] for pair, value in finding.differences.items()],
            }
            for finding in findings
        ],
    }
    return json_values(content)


def _pictures(finding: Finding) -> dict[str, bytes]:
    """Return the files of a study: its sheet, its strips where time matters, its plots."""
    if not finding.outputs:
        return {}
    name = finding.study.name
    files = {f"{name}.jpg": as_file(contact_sheet_of(finding), ".jpg")}
    if finding.study.shows_motion:
        for clip, pictures in list(finding.pictures.items())[:MOST_CLIPS]:
            strips = motion_strips(dict(pictures.lines), title=f"{clip}: one row of pixels over time")
            word = "".join(character if character.isalnum() else "-" for character in clip)
            files[f"{name}-motion-{word}.png"] = as_file(strips)
    files[f"{name}-plots.png"] = as_file(_plots(finding))
    return files


def _plots(finding: Finding) -> Picture:
    """Return a plot a metric, three beside one another."""
    plots = [plot for metric in finding.metrics if (plot := _plot(finding, metric)) is not None]
    places: list[Picture | None] = [*plots, *[None] * (-len(plots) % 3)]
    rows = [places[first : first + 3] for first in range(0, len(places), 3)]
    return contact_sheet(rows or [[None]], cell_width=420)


def _plot(finding: Finding, metric: Metric) -> Picture | None:
    means = {label: finding.mean(label, metric.name) for label in finding.outputs}
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
    value = finding.mean(label, metric.name)
    if not isfinite(value):
        return "-"
    digits = 2 if metric.unit else 3
    if label in (INPUT, *finding.outputs[:1]):
        return f"{value:.{digits}f}"
    change = value - finding.mean(finding.outputs[0], metric.name)
    return f"{value:.{digits}f}" + (f" ({change:+.{digits}f})" if isfinite(change) else "")


def _describe(model: str, settings: StudySettings, findings: Sequence[Finding]) -> str:
    clips = list(findings[0].scores) if findings else []
    return (
        f"Model {Path(model).name}; {settings.scale:g} times the size and {settings.factor} times the rate where a "
        f"study does not say otherwise; seed {settings.seed}. Means over {len(clips)} clip{'s' * (len(clips) != 1)}: "
        f"{', '.join(clips)}. In brackets: change from the first value. Where a study varies the input, the row "
        f'"{INPUT}" is of the first value\'s.'
    )


def _failures(finding: Finding) -> list[str]:
    return [f"{label} failed: {error}" for label, error in finding.errors.items()]
