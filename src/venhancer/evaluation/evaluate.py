"""Clips in, scores of every contender out: degrade, enhance, measure; the page to read first of this folder.

Every contender is given the same frames and judged on the same frames. Outputs go from contender to metric without
loss, through `Cache`; one that fails is told of in the results, and the others go on.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import isfinite, nan
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from venhancer.errors import JobFailed, SettingsError, VEnhancerError
from venhancer.evaluation.baselines.baseline import Job
from venhancer.evaluation.cache import Cache, Output, digest, output_key, scores_key
from venhancer.evaluation.clips import TestClip
from venhancer.evaluation.contenders import Contender
from venhancer.evaluation.degrade import Degradation
from venhancer.evaluation.metrics.metric import Metric, Subject
from venhancer.evaluation.metrics.registry import all_metrics, lacks, measure, metric_named, score
from venhancer.progress import SILENT, Progress

REFERENCE, INPUT = "truth", "input"
"""Rows of tables that no contender made: what is possible, and what it began with (enlarged and held)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateSettings:
    """What is measured.

    Args:
        degradation: how inputs are made; without a reference, only its scale and factor count: how much more to make.
        has_reference: whether clips are the truth, from which inputs are made; else clips are inputs themselves.
        metrics: names; all that can be had if None.
        weights: files or folders of weights by metric.
    """

    degradation: Degradation
    has_reference: bool = True
    metrics: tuple[str, ...] | None = None
    weights: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of one contender on one clip.

    Args:
        clip: its name.
        contender: its name, or `REFERENCE` or `INPUT`.
        scores: by metric; NaN where a clip does not allow it.
        seconds: it took, when it was made; None if that is not known, or no contender made it.
        error: why there is nothing, in a line; empty if all went well.
        key: of the kept output; empty if there is none.
    """

    clip: str
    contender: str
    scores: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    error: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Everything measured.

    Args:
        settings: what was asked for.
        metrics: those measured, in the order of tables.
        left_out: why other metrics were not, a line each.
        contenders: rows of tables, in order.
        frames: how many are scored, by clip, in order.
        results: of every contender on every clip.
    """

    settings: EvaluateSettings
    metrics: tuple[Metric, ...]
    left_out: tuple[str, ...]
    contenders: tuple[str, ...]
    frames: Mapping[str, int]
    results: tuple[Result, ...]

    @property
    def clips(self) -> tuple[str, ...]:
        """Names of the clips, in order."""
        return tuple(self.frames)

    def result(self, clip: str, contender: str) -> Result:
        """Return what came of a contender on a clip."""
        return next(one for one in self.results if (one.clip, one.contender) == (clip, contender))

    @property
    def compared(self) -> tuple[str, ...]:
        """Names of the clips on which no contender failed that succeeded on any: means are taken over these."""
        alive = [name for name in self.contenders if any(not self.result(clip, name).error for clip in self.clips)]
        return tuple(clip for clip in self.clips if not any(self.result(clip, name).error for name in alive))

    def mean(self, contender: str, metric: str) -> float:
        """Return a contender's mean over the compared clips that all allow the metric; NaN if it failed."""
        clips = [clip for clip in self.compared if self._allows(clip, metric)]
        results = [self.result(clip, contender) for clip in clips]
        return float(np.mean([one.scores[metric] for one in results])) if clips and not results[0].error else nan

    def _allows(self, clip: str, metric: str) -> bool:
        made = [one for one in self.results if one.clip == clip and not one.error]
        return all(isfinite(one.scores[metric]) for one in made)


@dataclass(frozen=True, slots=True)
class _Task:
    """A clip as a contender and a metric see it."""

    name: str
    job: Job
    reference: UInt8[np.ndarray, "f h w 3"] | None


def evaluate(
    clips: Sequence[TestClip],
    contenders: Sequence[Contender],
    settings: EvaluateSettings,
    cache: Cache,
    *,
    progress: Progress = SILENT,
) -> Evaluation:
    """Return the scores of every contender on every clip.

    Contenders work one after the other, so that one model is in memory at a time; then clips are scored one by one.

    Args:
        clips: what to judge on.
        contenders: who takes part.
        settings: how inputs are made, and what is measured.
        cache: where outputs and scores are, and are kept.
        progress: told of every output and every score.

    Raises:
        SettingsError: nobody takes part, two have one name, a metric is unknown or cannot be had here.
        InputError: a clip cannot be read.
        JobFailed: an output cannot be kept.
    """
    names = [contender.name for contender in contenders]
    if not names or len(set(names)) < len(names) or {REFERENCE, INPUT} & set(names):
        raise SettingsError(f"contenders {', '.join(names) or 'none'}: give one or more, each with a name of its own")
    metrics, left_out = choose_metrics(settings)
    progress.start(len(contenders) * len(clips), "enhance")
    inputs: dict[str, UInt8[np.ndarray, "k h w 3"]] = {}
    tasks = partial(_task, settings=settings, inputs=inputs)
    made = [one for contender in contenders for one in _enhance_all(contender, clips, tasks, cache, progress)]
    progress.start(len(made) + len(clips), "measure")
    results: list[Result] = []
    frames: dict[str, int] = {}
    for clip in clips:
        task = tasks(clip)
        frames[clip.name] = task.job.frames
        results.append(_score_row(task, settings, metrics, cache))
        progress.advance()
        for one in (one for one in made if one.clip == clip.name):
            results.append(_score(one, task, settings, metrics, cache))
            progress.advance()
    return Evaluation(
        settings=settings,
        metrics=metrics,
        left_out=left_out,
        contenders=(*names, REFERENCE if settings.has_reference else INPUT),
        frames=frames,
        results=tuple(results),
    )


def choose_metrics(settings: EvaluateSettings) -> tuple[tuple[Metric, ...], tuple[str, ...]]:
    """Return the metrics to measure, and why others are not.

    What compares with the input is left out where there is a truth, and what needs a truth where there is none.

    Raises:
        SettingsError: one that is asked for is unknown or cannot be had here.
        WeightsError: weights that the user named cannot be used.
    """
    blank = np.zeros((1, 64, 64, 3), np.uint8)
    reference = blank if settings.has_reference else None
    subject = Subject(result=blank, reference=reference, source=blank, weights=settings.weights)
    for name in settings.weights:  # tried now rather than after an hour
        score(subject, [name])
    if settings.metrics is not None:
        chosen = tuple(metric_named(name) for name in settings.metrics)
        for metric in chosen:
            if reason := lacks(metric, subject):
                raise SettingsError(f"{metric.name} cannot be measured: {reason}")
        return chosen, ()
    usual = [metric for metric in all_metrics().values() if _suits(metric, settings)]
    reasons = {metric.name: lacks(metric, subject) for metric in usual}
    left_out = tuple(f"{name}: {reason}" for name, reason in reasons.items() if reason)
    return tuple(metric for metric in usual if not reasons[metric.name]), left_out


def _suits(metric: Metric, settings: EvaluateSettings) -> bool:
    """Tell whether a metric is of use: what compares with the truth where there is one, with the input where not."""
    return "source" not in metric.takes if settings.has_reference else not metric.needs_reference


def shown_frames(
    clip: TestClip, settings: EvaluateSettings, result: Result, cache: Cache
) -> UInt8[np.ndarray, "f h w 3"]:
    """Return the frames behind a result that has no error, for pictures."""
    if result.key:
        return np.load(cache.file(result.key), mmap_mode="r")
    return _row_frames(_task(clip, settings, {}))


def _task(clip: TestClip, settings: EvaluateSettings, inputs: dict[str, UInt8[np.ndarray, "k h w 3"]]) -> _Task:
    """Return a clip as contenders and metrics see it; inputs are made once, so that all are given the same."""
    frames, degradation = clip.load(), settings.degradation
    if settings.has_reference and clip.name not in inputs:
        inputs[clip.name] = degradation.apply(frames)
    source = inputs[clip.name] if settings.has_reference else frames
    rate = clip.rate / degradation.factor if settings.has_reference else clip.rate
    job = Job(key_frames=source, rate=rate, scale=degradation.scale, factor=degradation.factor)
    return _Task(clip.name, job, frames if settings.has_reference else None)


def _enhance_all(
    contender: Contender,
    clips: Sequence[TestClip],
    tasks: Callable[[TestClip], _Task],
    cache: Cache,
    progress: Progress,
) -> Iterator[Result]:
    """Yield what came of a contender on each clip, not scored yet; it is loaded when the first output is missing."""
    baseline = None
    for clip in clips:
        job = tasks(clip).job
        key = output_key(job.key_frames, job.rate, job.scale, job.factor, contender.identity)
        output, error = cache.output(key), ""
        if output is None:
            try:
                baseline = baseline or contender.load()
                started = time.monotonic()
                output = Output(job.check(baseline(job)), round(time.monotonic() - started, 3))
            except Exception as failure:
                error = _told(failure)
            else:
                cache.keep_output(key, output, {"clip": clip.name, "contender": contender.name})
        progress.advance()
        if output is None:
            yield Result(clip=clip.name, contender=contender.name, error=error)
        else:
            yield Result(clip=clip.name, contender=contender.name, seconds=output.seconds, key=key)


def _told(failure: Exception) -> str:
    """Return a failure in one line."""
    line = " ".join(str(failure).split())[:300]
    return line if isinstance(failure, VEnhancerError) else f"{type(failure).__name__}: {line}"


def _row_frames(task: _Task) -> UInt8[np.ndarray, "f h w 3"]:
    """Return what the row that no contender made shows: the truth, or the input enlarged and held."""
    if task.reference is not None:
        return task.reference
    job = task.job
    blank = np.zeros((job.frames, job.height, job.width, 3), np.uint8)
    held = Subject(result=blank, source=job.key_frames, factor=job.factor).likeness
    assert held is not None
    return held


def _score_row(task: _Task, settings: EvaluateSettings, metrics: Sequence[Metric], cache: Cache) -> Result:
    """Return the scores of the row that no contender made."""
    name, frames = REFERENCE if settings.has_reference else INPUT, _row_frames(task)
    scores = _cached_scores(frames, digest(frames), task, settings, metrics, cache=cache)
    return Result(clip=task.name, contender=name, scores=scores)


def _score(one: Result, task: _Task, settings: EvaluateSettings, metrics: Sequence[Metric], cache: Cache) -> Result:
    """Return a result with its scores."""
    if one.error:
        return one
    scores = _cached_scores(np.load(cache.file(one.key)), one.key, task, settings, metrics, cache=cache)
    return Result(clip=one.clip, contender=one.contender, scores=scores, seconds=one.seconds, key=one.key)


def _cached_scores(
    frames: UInt8[np.ndarray, "f h w 3"],
    name: str,
    task: _Task,
    settings: EvaluateSettings,
    metrics: Sequence[Metric],
    *,
    cache: Cache,
) -> dict[str, float]:
    """Return the scores of frames, from earlier as far as they are there; `name` says which frames they are."""
    key = scores_key(name, task.reference if settings.has_reference else task.job.key_frames)
    known = cache.scores(key)
    missing = [metric for metric in metrics if metric.needs_weights or metric.label not in known]
    found = _measure(_subject(frames, task, settings), missing)
    fresh = {metric.label: found[metric.name] for metric in missing if isfinite(found[metric.name])}
    cache.keep_scores(key, known | fresh)
    return {metric.name: found[metric.name] if metric in missing else known[metric.label] for metric in metrics}


def _subject(result: UInt8[np.ndarray, "f h w 3"], task: _Task, settings: EvaluateSettings) -> Subject:
    job = task.job
    return Subject(
        result=result, reference=task.reference, source=job.key_frames, factor=job.factor, weights=settings.weights
    )


def _measure(subject: Subject, metrics: Sequence[Metric]) -> dict[str, float]:
    """Return scores by name, NaN where a clip does not allow one."""
    found = {}
    for metric in metrics:
        try:
            found[metric.name] = measure(metric, subject)
        except (SettingsError, JobFailed):
            found[metric.name] = nan
    return found
