"""A table of the paper, filled: its figures beside what is measured here, by the engine of `venhancer evaluate`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from venhancer.errors import SettingsError
from venhancer.evaluation.cache import Cache
from venhancer.evaluation.clips import TestClip, find_clips
from venhancer.evaluation.degrade import Degradation
from venhancer.evaluation.evaluation import EvaluateSettings, Evaluation, evaluate
from venhancer.evaluation.metrics.metric import Metric, Subject
from venhancer.evaluation.metrics.registry import lacks, metric_named
from venhancer.evaluation.metrics.shifts import SHIFTED
from venhancer.evaluation.paper.protocol import Figures, Protocol, Task, source_of
from venhancer.evaluation.paper.systems import Systems
from venhancer.evaluation.paper.uncertainty import Estimate, estimate, paired_difference
from venhancer.progress import SILENT, Progress

ITSELF = "bicubic"
"""The system whose row is the input itself, enlarged and held; without a truth, evaluations add that row themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What a paper found and what is measured here.

    Args:
        paper: None if it says nothing.
        measured: None if it could not be measured.
        lead: by how much it exceeds the table's own row on the same clips; None for that row.
    """

    paper: float | None = None
    measured: Estimate | None = None
    lead: Estimate | None = None

    @property
    def difference(self) -> float | None:
        """Measured less the paper's."""
        return None if self.paper is None or self.measured is None else self.measured.mean - self.paper


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A system.

    Args:
        name: of `systems.yaml`.
        title: as the paper calls it.
        cells: by title of column.
        missing: why it was not run and what to do; empty if it was.
        seconds: it took a clip, the mean; None if that is not known.
    """

    name: str
    title: str
    cells: Mapping[str, Cell]
    missing: str = ""
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperTable:
    """A table, filled as far as it could be.

    Args:
        protocol: it follows.
        columns: titles, with the metric of each and why it could not be measured, empty if it was.
        rows: the paper's, then further ones, then that of the truth or the input.
        clips: names of those compared.
        ours: the row that others are compared with; empty if none ran.
        notes: whatever a reader must know.
        digits: after the point.
    """

    protocol: Protocol
    columns: Mapping[str, "Measure"]
    rows: tuple[Row, ...]
    clips: tuple[str, ...]
    ours: str = ""
    notes: tuple[str, ...] = ()
    digits: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """How a column is measured, or why it is not."""

    metric: str
    higher_is_better: bool = True
    what: str = ""
    missing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What of a protocol is run.

    Args:
        systems: only these rows; all if empty.
        metrics: only these; all if empty.
        weights: by metric.
        seed: of the bootstrap.
        factor: another than the protocol's, 0 for its own.
        scale: likewise.
    """

    systems: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    weights: Mapping[str, Path] = field(default_factory=dict)
    seed: int = 0
    factor: int = 0
    scale: int = 0

    def task(self, protocol: Protocol) -> Task:
        """Return what systems are asked to make."""
        if protocol.task is None:
            raise SettingsError(f"table {protocol.table} asks no system to make anything")
        changes = {name: value for name in ("scale", "factor") if (value := getattr(self, name))}
        return protocol.task.model_copy(update=changes)


def find_table_clips(
    protocol: Protocol, choice: Choice, paths: Sequence[Path], *, frames: int, start: float, crop: str = ""
) -> list[TestClip]:
    """Return the clips that a table is measured on.

    Args:
        protocol: says whether they are the truth or inputs.
        choice: scale and factor.
        paths: files and folders.
        frames: most of a clip.
        start: seconds into each.
        crop: the middle of each frame, such as "256x160"; all if empty.

    Raises:
        SettingsError: frames, start or crop cannot be.
        InputError: there are no clips, or one cannot be used.
    """
    task = choice.task(protocol)
    scale, factor = (task.scale, task.factor) if task.has_reference else (1, 1)
    fewest = 2 if task.factor > 1 else 1
    clips = find_clips(paths, frames=frames, start=start, scale=scale, factor=factor, fewest=fewest)
    if not crop:
        return clips
    if any(int(side) % (2 * scale) for side in crop.lower().split("x") if side.isdecimal()):
        raise SettingsError(f"crop {crop} must have sides that are multiples of {2 * scale}, such as 256x160")
    return [clip.middle(crop) for clip in clips]


def choose_measures(protocol: Protocol, choice: Choice) -> dict[str, Measure]:
    """Return the columns of a table by title: the paper's, then the free ones and those at the best shift.

    Raises:
        SettingsError: a metric is unknown.
    """
    titles = {column.metric: column.title for column in protocol.columns}
    names = [*titles, *protocol.free, *(f"{name}{SHIFTED}" for name in protocol.shifted)]
    asked = [name for name in (*names, *choice.metrics) if not choice.metrics or name in choice.metrics]
    blank = np.zeros((1, 64, 64, 3), np.uint8)
    has_reference = choice.task(protocol).has_reference
    subject = Subject(result=blank, reference=blank if has_reference else None, source=blank, weights=choice.weights)
    measures = {
        titles.get(name, name.replace(SHIFTED, ", best shift")): _measure(metric_named(name), subject)
        for name in dict.fromkeys(asked)
    }
    absent = {title: Measure(metric="", missing=why) for title, why in protocol.absent.items() if not choice.metrics}
    return measures | absent


def fill_table(
    protocol: Protocol,
    clips: Sequence[TestClip],
    systems: Systems,
    choice: Choice,
    *,
    figures: Figures,
    cache: Cache,
    progress: Progress = SILENT,
) -> tuple[PaperTable, Evaluation]:
    """Return a table with everything that can be run here, and the evaluation behind it.

    Raises:
        SettingsError: a system or metric is unknown, or none can be run.
        InputError: a clip cannot be read.
        JobFailed: an output cannot be kept.
    """
    task, names = choice.task(protocol), [*protocol.rows, *protocol.rivals]
    names += [name for name in choice.systems if name not in names]
    names = [name for name in names if not choice.systems or name in (*choice.systems, *[ITSELF] * task.has_reference)]
    missing = {name: systems.missing(name, scale=task.scale, factor=task.factor) for name in names}
    ready = [name for name in names if not missing[name]]
    measures = choose_measures(protocol, choice)
    metrics = tuple(measure.metric for measure in measures.values() if not measure.missing)
    if not ready or not metrics:
        lacking = missing if not ready else {title: one.missing for title, one in measures.items()}
        raise SettingsError(f"nothing can be measured: {'; '.join(f'{name}: {why}' for name, why in lacking.items())}")
    settings = EvaluateSettings(
        degradation=Degradation(scale=task.scale, factor=task.factor, kernel=task.kernel),
        has_reference=task.has_reference,
        metrics=metrics,
        weights=choice.weights,
    )
    found = evaluate(clips, [systems.contender(name) for name in ready], settings, cache, progress=progress)
    failed = {name: _failure(found, name) for name in ready}
    ours = next((name for name in protocol.ours if name in ready and not failed[name]), "")
    filling = _Filling(found=found, measures=measures, ours=ours, seed=choice.seed)
    rows = [
        Row(
            name=name,
            title=systems[name].title,
            cells=filling.cells(name, figures.get(systems[name].title, {})),
            missing=missing[name] or failed[name],
            seconds=_seconds(found, name),
        )
        for name in names
    ]
    own = found.contenders[-1]
    rows.append(Row(name=own, title=own, cells=filling.cells(own, {})))
    table = PaperTable(
        protocol=protocol,
        columns=measures,
        rows=tuple(rows),
        clips=found.compared,
        ours=ours,
        notes=tuple(_notes(protocol, task, found)),
    )
    return table, found


def _measure(metric: Metric, subject: Subject) -> Measure:
    return Measure(
        metric=metric.name,
        higher_is_better=metric.higher_is_better,
        what=metric.what,
        missing=lacks(metric, subject),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Filling:
    """What cells are made from."""

    found: Evaluation
    measures: Mapping[str, Measure]
    ours: str
    seed: int

    def cells(self, name: str, paper: Mapping[str, float]) -> dict[str, Cell]:
        """Return the cells of a row, by title of column."""
        return {title: self._cell(name, one, paper.get(title)) for title, one in self.measures.items()}

    def _cell(self, name: str, measure: Measure, paper: float | None) -> Cell:
        if name not in self.found.contenders or measure.missing:
            return Cell(paper=paper)
        scores = self.found.values(name, measure.metric)
        base = self.found.values(self.ours, measure.metric) if self.ours and name != self.ours else {}
        shared = [clip for clip in scores if clip in base]
        own, others = ([of[clip] for clip in shared] for of in (scores, base))
        return Cell(
            paper=paper,
            measured=estimate(list(scores.values()), self.seed) if scores else None,
            lead=paired_difference(own, others, self.seed) if shared else None,
        )


def _failure(found: Evaluation, name: str) -> str:
    errors = [found.result(clip, name).error for clip in found.clips]
    return f"failed: {errors[0]}" if errors and all(errors) else ""


def _seconds(found: Evaluation, name: str) -> float | None:
    if name not in found.contenders:
        return None
    times = [result.seconds for result in found.results if result.contender == name and result.seconds is not None]
    return float(np.mean(times)) if times else None


def _notes(protocol: Protocol, task: Task, found: Evaluation) -> list[str]:
    own = protocol.task
    notes = [f"size rule: {protocol.size_rule}"]
    if own is not None and (own.scale, own.factor) != (task.scale, task.factor):
        notes.append(f"asked for scale {task.scale} and temporal factor {task.factor}, not the protocol's")
    notes.append("every system is given the same lossless frames and scored on all of its output")
    if protocol.figures:
        notes.append(
            f"the paper's figures are of {source_of(protocol)}; measured here on other clips unless they are its own"
        )
    if len(found.compared) < len(found.clips):
        notes.append(f"means over {len(found.compared)} of {len(found.clips)} clips: those on which no system failed")
    if task.has_reference:
        notes.append("the input itself is the row of bicubic enlargement and repeated frames")
    if protocol.shifted:
        notes.append("best shift: one a clip, of least squared error within 3 pixels in both directions")
    return notes
