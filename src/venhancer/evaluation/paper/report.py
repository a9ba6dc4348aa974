"""A paper's table on disk and on a terminal: paper | measured | difference, as JSON, Markdown, LaTeX and a page."""

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

from venhancer.evaluation.cache import Cache
from venhancer.evaluation.clips import TestClip
from venhancer.evaluation.evaluation import Evaluation
from venhancer.evaluation.pages import clip_pictures, html_page, json_values, note, table_as_html, write_files
from venhancer.evaluation.paper.protocol import source_of
from venhancer.evaluation.paper.table import Cell, Measure, PaperTable, Row
from venhancer.evaluation.paper.uncertainty import Estimate
from venhancer.evaluation.tables import NONE, Table, as_markdown

NOT_RUN = "not run"


def write_table(folder: Path, table: PaperTable, pictures: Sequence[str] = ()) -> list[Path]:
    """Write a table and return its files, the page last; earlier ones are replaced.

    Args:
        folder: is made.
        table: whatever its rows are.
        pictures: parts of the page below its tables.

    Raises:
        JobFailed: the disk is full or may not be written to.
    """
    name = f"table-{table.protocol.table}"
    contents = {
        f"{name}.json": json.dumps(to_json(table), indent=1) + "\n",
        f"{name}.md": to_markdown(table),
        f"{name}.tex": to_latex(table),
        f"{name}.html": render_page(table, pictures),
    }
    return write_files(folder, contents)


def pictures_of(evaluation: Evaluation, clips: Sequence[TestClip], cache: Cache) -> list[str]:
    """Return stills, enlarged parts and motion strips of every clip, as parts of a page."""
    return ["<h2>Clips</h2>", *(clip_pictures(evaluation, clip, cache) for clip in clips)]


def tables_of(table: PaperTable) -> list[Table]:
    """Return what was measured: a table a column or, where rows are measured one by one as in VBench, a table a row."""
    if table.protocol.suite:
        rows = [row for row in table.rows if not row.missing]
        return [_of_row(table, row) for row in rows]
    return [_of_column(table, title, measure) for title, measure in table.columns.items() if not measure.missing]


def shortfalls(table: PaperTable) -> list[str]:
    """Return what was not run or not measured, why, and where to get what is missing; a line each."""
    rows = [f"{NOT_RUN}: {row.title}: {row.missing}" for row in table.rows if row.missing]
    columns = [f"not measured: {title}: {one.missing}" for title, one in table.columns.items() if one.missing]
    return rows + columns


def overview(table: PaperTable) -> Table:
    """Return all figures in one table: measured, with the paper's in brackets."""
    rows = tuple((row.title, *(_both(row.cells[title], table.digits) for title in table.columns)) for row in table.rows)
    header = ("system", *(_heading(title, one) for title, one in table.columns.items()))
    return Table(title="Measured [paper]", header=header, rows=rows, best=_best(table))


def to_json(table: PaperTable) -> dict[str, Any]:
    """Return a table as JSON values; what has no number is null."""
    return json_values(
        {
            "versions": {"venhancer": version("venhancer")},
            "protocol": table.protocol.model_dump(),
            "source_of_figures": source_of(table.protocol),
            "clips": table.clips,
            "ours": table.ours,
            "notes": table.notes,
            "columns": {
                title: {
                    "metric": one.metric,
                    "higher_is_better": one.higher_is_better,
                    "what": one.what,
                    "missing": one.missing,
                }
                for title, one in table.columns.items()
            },
            "rows": [
                {
                    "name": row.name,
                    "title": row.title,
                    "missing": row.missing,
                    "seconds": row.seconds,
                    "cells": {title: _as_values(cell) for title, cell in row.cells.items()},
                }
                for row in table.rows
            ],
        }
    )


def to_markdown(table: PaperTable) -> str:
    """Return a table as a Markdown page."""
    parts = [f"# Table {table.protocol.table}: {table.protocol.title}", as_markdown(overview(table))]
    parts += ["\n".join(f"- {line}" for line in (*table.notes, *shortfalls(table)))]
    parts += [as_markdown(one) for one in tables_of(table)]
    return "\n\n".join(parts) + "\n"


def to_latex(table: PaperTable) -> str:
    """Return a table for a paper that uses booktabs: measured, with the paper's in brackets; what is best is bold."""
    whole = overview(table)
    lines = [
        f"% Table {table.protocol.table}: {table.protocol.title}",
        *(f"% {line}" for line in (*table.notes, *shortfalls(table))),
        f"\\begin{{tabular}}{{l{'r' * (len(whole.header) - 1)}}}",
        "\\toprule",
        _latex_row(whole.header),
        "\\midrule",
        *(
            _latex_row(row, {column for number_of, column in whole.best if number_of == number})
            for number, row in enumerate(whole.rows)
        ),
        "\\bottomrule",
        "\\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def render_page(table: PaperTable, pictures: Sequence[str] = ()) -> str:
    """Return a table as one HTML page that holds its pictures."""
    parts = [
        *(f"<p>{escape(line)}</p>" for line in table.notes),
        table_as_html(overview(table)),
        *map(note, shortfalls(table)),
        *(table_as_html(one) for one in tables_of(table)),
        *pictures,
    ]
    return html_page(f"Table {table.protocol.table}: {escape(table.protocol.title)}", parts)


def _of_column(table: PaperTable, title: str, measure: Measure) -> Table:
    has_lead = bool(table.ours)
    rows = [
        (row.title, *_cells(row.cells[title], table.digits, has_lead=has_lead), _seconds(row)) for row in table.rows
    ]
    ours = next((row.title for row in table.rows if row.name == table.ours), "")
    header = [
        "system",
        "paper",
        "measured",
        "difference",
        "95 %",
        *([f"less {ours}, 95 %"] if has_lead else []),
        "s/clip",
    ]
    column = list(table.columns).index(title) + 1
    best = frozenset((row, 2) for row, place in _best(table) if place == column)
    what = f"{_heading(title, measure)}: {measure.what}, over {len(table.clips)} clip{'s' * (len(table.clips) != 1)}"
    return Table(title=what, header=tuple(header), rows=tuple(rows), best=best)


def _of_row(table: PaperTable, row: Row) -> Table:
    rows = [(title, *_cells(row.cells[title], table.digits, has_lead=False)) for title in table.columns]
    header = ("dimension", "paper", "measured", "difference", "95 %")
    return Table(title=row.title, header=header, rows=tuple(rows))


def _cells(cell: Cell, digits: int, *, has_lead: bool) -> Iterator[str]:
    yield NONE if cell.paper is None else f"{cell.paper:.{digits}f}"
    yield NONE if cell.measured is None else f"{cell.measured.mean:.{digits}f}"
    yield NONE if cell.difference is None else f"{cell.difference:+.{digits}f}"
    yield _interval(cell.measured, digits)
    if has_lead:
        lead = cell.lead
        yield NONE if lead is None else f"{lead.mean:+.{digits}f} {_interval(lead, digits)}{' *' * lead.is_clear}"


def _interval(found: Estimate | None, digits: int) -> str:
    return NONE if found is None or found.low == found.high else f"[{found.low:.{digits}f}, {found.high:.{digits}f}]"


def _seconds(row: Row) -> str:
    return NONE if row.seconds is None else f"{row.seconds:.2f}"


def _both(cell: Cell, digits: int) -> str:
    paper = "" if cell.paper is None else f"[{cell.paper:.{digits}f}]"
    measured = "" if cell.measured is None else f"{cell.measured.mean:.{digits}f}"
    return " ".join(filter(None, (measured, paper))) or NONE


def _heading(title: str, measure: Measure) -> str:
    return f"{title} {'↑' if measure.higher_is_better else '↓'}" if measure.metric else title


def _best(table: PaperTable) -> frozenset[tuple[int, int]]:
    """Return row and column of the best measured value of each column, among systems."""
    best = set()
    for column, (title, measure) in enumerate(table.columns.items(), start=1):
        means = {
            number: cell.measured.mean
            for number, row in enumerate(table.rows)
            if (cell := row.cells[title]).measured is not None and row.name not in ("truth", "input")
        }
        if len(means) > 1:
            top = max(means.values()) if measure.higher_is_better else min(means.values())
            best |= {(number, column) for number, mean in means.items() if mean == top}
    return frozenset(best)


def _as_values(cell: Cell) -> Mapping[str, object]:
    of = {"measured": cell.measured, "lead": cell.lead}
    estimates = {name: one and {"mean": one.mean, "low": one.low, "high": one.high} for name, one in of.items()}
    return {"paper": cell.paper, "difference": cell.difference, **estimates}


def _latex_row(cells: Sequence[str], bold: set[int] = frozenset()) -> str:  # pyright: ignore[reportArgumentType]
    words = [_escaped(cell) for cell in cells]
    return " & ".join(f"\\textbf{{{word}}}" if n in bold else word for n, word in enumerate(words)) + " \\\\"


def _escaped(text: str) -> str:
    for character in "&%$#_{}":
        text = text.replace(character, f"\\{character}")
    return text.replace("↑", "$\\uparrow$").replace("↓", "$\\downarrow$")
