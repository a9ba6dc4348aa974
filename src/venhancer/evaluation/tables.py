"""Tables of an evaluation, as words: the same for the terminal, Markdown and the page."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite

from venhancer.evaluation.evaluation import Evaluation, Result
from venhancer.evaluation.metrics.metric import Metric

NONE = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A title, a header and rows; the first column names the rows.

    Args:
        best: row and column of every cell that is the best of its column.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    best: frozenset[tuple[int, int]] = frozenset()


def table_of_means(evaluation: Evaluation) -> Table:
    """Return a row a contender and a column a metric: means over the clips on which all succeeded."""
    values = [[evaluation.mean(name, metric.name) for metric in evaluation.metrics] for name in evaluation.contenders]
    rows = [
        (
            name,
            *(_number(value, metric) for value, metric in zip(row, evaluation.metrics, strict=True)),
            _speed(name, evaluation),
        )
        for name, row in zip(evaluation.contenders, values, strict=True)
    ]
    best = {
        (row, column + 1)
        for column, metric in enumerate(evaluation.metrics)
        for row in _best([one[column] for one in values[:-1]], metric)
    }
    count, total = len(evaluation.compared), len(evaluation.clips)
    over = f"{count} clip{'s' * (count != 1)}" + (
        f" of {total}: those on which no contender failed" if count < total else ""
    )
    header = ("contender", *map(heading, evaluation.metrics), "s/frame")
    return Table(title=f"Means over {over}", header=header, rows=tuple(rows), best=frozenset(best))


def tables_by_clip(evaluation: Evaluation) -> Iterator[Table]:
    """Yield a table for every metric: a row a clip, a column a contender."""
    for metric in evaluation.metrics:
        rows, best = [], set()
        for number, clip in enumerate(evaluation.clips):
            results = [evaluation.result(clip, name) for name in evaluation.contenders]
            rows.append((clip, *(_cell(result, metric) for result in results)))
            values = [result.scores.get(metric.name, float("nan")) for result in results[:-1]]
            best |= {(number, column + 1) for column in _best(values, metric)}
        header = ("clip", *evaluation.contenders)
        yield Table(title=f"{heading(metric)}: {metric.what}", header=header, rows=tuple(rows), best=frozenset(best))


def heading(metric: Metric) -> str:
    """Return a metric's name, unit and which way is better."""
    return f"{metric.name}{f', {metric.unit}' if metric.unit else ''} {metric.arrow}"


def describe(evaluation: Evaluation) -> str:
    """Return in a sentence or two what was done."""
    degradation = evaluation.settings.degradation
    more = f"{degradation.scale} times the size and {degradation.factor} times the rate"
    if not evaluation.settings.has_reference:
        return f"{more}; there is no reference: metrics use none or compare with the input."
    extras = f", with noise of {degradation.noise:g} levels" if degradation.noise else ""
    extras += f", compressed by H.264 at crf {degradation.crf}" if degradation.crf is not None else ""
    source = f"every {_ordinal(degradation.factor)} frame, reduced with the kernel {degradation.kernel}{extras}"
    return f"{more}. The input is {source}; every output frame is compared with the truth."


def failures(evaluation: Evaluation) -> list[str]:
    """Return what failed and why, a line each; the same reason on several clips once."""
    clips: dict[tuple[str, str], list[str]] = defaultdict(list)
    for result in evaluation.results:
        if result.error:
            clips[result.contender, result.error].append(result.clip)
    lines = []
    for (contender, error), names in clips.items():
        where = "" if len(names) == len(evaluation.clips) else f" on {', '.join(names)}"
        lines.append(f"{contender} failed{where}: {error}")
    return lines


def as_lines(table: Table) -> Iterator[str]:
    """Yield a table as aligned lines for a terminal or a pipe."""
    columns = list(zip(table.header, *table.rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    for row in (table.header, *table.rows):
        cells = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        yield "  ".join((row[0].ljust(widths[0]), *cells)).rstrip()


def as_markdown(table: Table) -> str:
    """Return a table as Markdown, the best of every column in bold."""
    columns = len(table.header)
    lines = [f"### {table.title}", "", _markdown_row(table.header), _markdown_row(["---", *["---:"] * (columns - 1)])]
    for number, row in enumerate(table.rows):
        cells = [f"**{cell}**" if (number, column) in table.best else cell for column, cell in enumerate(row)]
        lines.append(_markdown_row(cells))
    return "\n".join(lines)


def _ordinal(number: int) -> str:
    return {1: "single", 2: "second", 3: "third"}.get(number, f"{number}th")


def _markdown_row(cells: Sequence[str]) -> str:
    escaped = [cell.replace("|", "\\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def _best(values: Sequence[float], metric: Metric) -> set[int]:
    """Return where the best of several contenders are; of one alone there is none."""
    finite = [value for value in values if isfinite(value)]
    if len(finite) < 2:
        return set()
    best = max(finite) if metric.higher_is_better else min(finite)
    return {number for number, value in enumerate(values) if value == best}


def _cell(result: Result, metric: Metric) -> str:
    return "failed" if result.error else _number(result.scores[metric.name], metric)


def _number(value: float, metric: Metric) -> str:
    if not isfinite(value):
        return NONE
    return f"{value:.2f}" if metric.unit or abs(value) >= 10 else f"{value:.4f}"


def _speed(contender: str, evaluation: Evaluation) -> str:
    """Return seconds a frame, when outputs were made; not comparable between machines or busy hours."""
    times = [one for one in evaluation.results if one.contender == contender and one.seconds is not None]
    frames = sum(evaluation.frames[one.clip] for one in times)
    return f"{sum(one.seconds or 0 for one in times) / frames:.2f}" if frames else NONE
