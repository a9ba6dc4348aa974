"""Table 3: folders of videos in VBench's naming to sixteen dimensions and two totals, beside the paper's.

Dimensions come from files that VBench wrote, else from VBench itself as a program, else, for the few that this package
measures alike, from its own metrics; the table says which.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from pathlib import Path

import numpy as np

from venhancer.errors import JobFailed, SettingsError
from venhancer.evaluation.metrics.metric import Metric, Subject
from venhancer.evaluation.metrics.registry import lacks, metric_named
from venhancer.evaluation.metrics.weights import weights_wanted
from venhancer.evaluation.paper.protocol import Figures, Protocol
from venhancer.evaluation.paper.scoring import Crew, Unscored, score_videos
from venhancer.evaluation.paper.systems import Place, Systems
from venhancer.evaluation.paper.table import Cell, Measure, PaperTable, Row
from venhancer.evaluation.paper.uncertainty import Estimate, estimate
from venhancer.evaluation.paper.vbench import (
    Dimension,
    DimensionScore,
    Suite,
    all_dimensions,
    find_suite,
    measure_dimension,
    prompts_of,
    read_results,
    totals,
)
from venhancer.progress import SILENT, Progress

DIGITS = 2
MOST_TOLD = 5  # videos without a score that notes name
_NO_FRAMES = np.zeros((1, 64, 64, 3), np.uint8)
PER_CENT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteSettings:
    """How the dimensions are got.

    Args:
        weights: of metrics, and VBench's interpreter, by name.
        records: the folder of everything that is known.
        prompts: VBench's `VBench_full_info.json`, which says what each dimension is measured on; None for all videos.
        results: folders or files of results that VBench wrote, by system.
        shard: which of how many parts of the videos this run scores.
        crew: who scores them.
        seed: of the bootstrap.
    """

    weights: Mapping[str, Path] = field(default_factory=dict)
    records: Path
    prompts: Path | None = None
    results: Mapping[str, Path] = field(default_factory=dict)
    shard: tuple[int, int] = (1, 1)
    crew: Crew = field(default_factory=Crew)
    seed: int = 0


def fill_suite(
    protocol: Protocol, systems: Systems, settings: SuiteSettings, figures: Figures, *, progress: Progress = SILENT
) -> PaperTable:
    """Return Table 3 with every system whose videos or results are there.

    Raises:
        InputError: a folder or file cannot be used.
        WeightsError: weights that the user named cannot be used.
        JobFailed: VBench failed, or something could not be written.
    """
    known = all_dimensions()
    notes = ["dimensions are per cent; Quality and Semantic follow VBench's weights and normalisation"]
    rows = []
    for name in protocol.rows:
        system, place = systems[name], systems.places.get(name, Place())
        paper = figures.get(system.title, {})
        missing = "" if name in settings.results else systems.missing(name)
        found: dict[str, DimensionScore] = {}
        if not missing:
            found, said = _measure(name, place.videos, settings, progress)
            notes += [f"{system.title}: {line}" for line in said]
        rows.append(Row(name=name, title=system.title, cells=_cells(found, paper, settings.seed), missing=missing))
    columns = {one.title: Measure(metric=one.name, what="VBench's") for one in known.values()}
    columns |= {title: Measure(metric=title.lower(), what="VBench's total") for title in ("Quality", "Semantic")}
    return PaperTable(protocol=protocol, columns=columns, rows=tuple(rows), clips=(), notes=tuple(notes), digits=DIGITS)


def parse_results(pairs: Iterable[str], systems: Systems) -> dict[str, Path]:
    """Return where results of systems lie, given as "system=path".

    Raises:
        SettingsError: one has another form, or there is no such system or path.
    """
    found = {}
    for pair in pairs:
        name, _, path = pair.partition("=")
        _ = systems[name]
        if not path or not Path(path).exists():
            raise SettingsError(f"results {pair!r} must be SYSTEM=PATH of what VBench wrote, which is there")
        found[name] = Path(path)
    return found


def parse_shard(text: str) -> tuple[int, int]:
    """Return which of how many parts "2/8" means.

    Raises:
        SettingsError: it has another form.
    """
    number, _, count = text.partition("/")
    if not number.isdecimal() or not count.isdecimal() or not 1 <= int(number) <= int(count):
        raise SettingsError(f"shard {text} must be N/COUNT, such as 2/8")
    return int(number), int(count)


def _measure(
    name: str, videos: Path | None, settings: SuiteSettings, progress: Progress
) -> tuple[dict[str, DimensionScore], list[str]]:
    """Return the dimensions of a system, by VBench's names, and what a reader must know of them."""
    if name in settings.results:
        path = settings.results[name]
        files = sorted(path.glob("*_eval_results.json")) if path.is_dir() else [path]
        return read_results(files), [f"read from {len(files)} files that VBench wrote"]
    if videos is None:
        return {}, []
    suite, records = find_suite(videos), settings.records / name
    notes = [f"{len(suite.files)} videos of {len(suite.videos)} prompts"]
    notes += [f"{len(suite.strays)} files have no name of VBench's form: {suite.strays[0]}"] if suite.strays else []
    if "vbench" in settings.weights:
        found, said = _by_vbench(videos, settings.weights["vbench"], records)
    else:
        found, said = _by_own_metrics(suite, settings, records, progress)
    return found, notes + said


def _by_vbench(videos: Path, python: Path, records: Path) -> tuple[dict[str, DimensionScore], list[str]]:
    found: dict[str, DimensionScore] = {}
    notes = ["measured by VBench"]
    for dimension in all_dimensions():
        try:
            found |= read_results([measure_dimension(python, videos, dimension, records)])
        except JobFailed as error:
            notes.append(f"{dimension}: {error}")
    return found, notes


def _by_own_metrics(
    suite: Suite, settings: SuiteSettings, records: Path, progress: Progress
) -> tuple[dict[str, DimensionScore], list[str]]:
    """Return the dimensions that this package's metrics measure alike."""
    notes = [f"all sixteen dimensions need {weights_wanted('vbench')}"]
    metrics: dict[Dimension, Metric] = {}
    for dimension in (one for one in all_dimensions().values() if one.own):
        metric = metric_named(dimension.own)
        reason = lacks(metric, Subject(result=_NO_FRAMES, weights=settings.weights))
        if reason:
            notes.append(f"{dimension.title}: {reason}")
        else:
            metrics[dimension] = metric
    scores, unscored = score_videos(
        suite.files,
        tuple(metrics.values()),
        settings.weights,
        records,
        shard=settings.shard,
        crew=settings.crew,
        progress=progress,
    )
    notes += _describe_unscored(unscored, records)
    prompts = prompts_of(settings.prompts) if settings.prompts else {}
    found = {}
    for dimension, metric in metrics.items():
        asked = prompts.get(dimension.name, set(suite.videos))
        files = [file.name for prompt, of in suite.videos.items() if prompt in asked for file in of]
        values = {file: scores[file][metric.name] for file in files if metric.name in scores.get(file, {})}
        known = {*values, *(one.video for one in unscored if metric.name in one.metrics)}
        rest = "" if known.issuperset(files) else "; run the command again, or its other shards, for the rest"
        notes.append(f"{dimension.title} by this package, over {len(values)} of {len(files)} videos{rest}")
        if values:
            found[dimension.name] = DimensionScore(sum(values.values()) / len(values), values)
    return found, notes


def _describe_unscored(unscored: Sequence[Unscored], records: Path) -> list[str]:
    """Return lines about videos that were put aside."""
    lines = [f"not scored: {one.video} ({', '.join(one.metrics)}): {one.reason}" for one in unscored[:MOST_TOLD]]
    if unscored:
        count = len({one.video for one in unscored})
        total = f"{count} videos not scored" if count > 1 else "1 video not scored"
        remedy = "--retry-quarantined tries again"
        lines.append(f"{total}: {remedy}; `venhancer fleet status {records}` gives all reasons")
    return lines


def _cells(found: Mapping[str, DimensionScore], paper: Mapping[str, float], seed: int) -> dict[str, Cell]:
    cells = {}
    for one in all_dimensions().values():
        cells[one.title] = Cell(paper=paper.get(one.title), measured=_estimate(found.get(one.name), seed))
    sums = totals({name: score.mean for name, score in found.items()})
    for title in ("Quality", "Semantic"):
        total = sums.get(title, nan) * PER_CENT
        measured = Estimate(total, total, total) if title in sums else None
        cells[title] = Cell(paper=paper.get(title), measured=measured)
    return cells


def _estimate(score: DimensionScore | None, seed: int) -> Estimate | None:
    """Return the dimension's own mean; VBench's may weigh videos by their frames, so only the interval is theirs."""
    if score is None:
        return None
    mean = score.mean * PER_CENT
    if len(score.by_video) < 2:
        return Estimate(mean, mean, mean)
    around = estimate([value * PER_CENT for value in score.by_video.values()], seed)
    return Estimate(mean, mean + around.low - around.mean, mean + around.high - around.mean)
