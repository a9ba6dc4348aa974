"""Clips in, scores of every contender out: degrade, enhance, measure; the page to read first of this folder.

Every contender is given the same frames and judged on the same frames. Outputs go from contender to metric without
loss, through `Cache`; one that fails is named in the results, and the others continue.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import isfinite, nan
from pathlib import Path

import numpy as np

from venhancer.errors import SettingsError, VEnhancerError
from venhancer.evaluation.baselines.baseline import Baseline, Request
from venhancer.evaluation.cache import Cache, Output, digest_frames, output_key, scores_key
from venhancer.evaluation.clips import TestClip
from venhancer.evaluation.contenders import Contender
from venhancer.evaluation.degrade import Degradation, enlarge_and_hold
from venhancer.evaluation.metrics.metric import Metric, Subject
from venhancer.evaluation.metrics.registry import all_metrics, lacks, measure_all, metrics_named, score
from venhancer.frames.levels import Frames
from venhancer.progress import SILENT, Progress

REFERENCE, INPUT = "truth", "input"
"""Rows of tables without a contender: the truth, and the input (enlarged and held)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateSettings:
    """What is measured.

    Args:
        degradation: how inputs are made; without a reference, only its scale and factor count: how much more to make.
        has_reference: whether clips are the truth, from which inputs are made; else clips are inputs themselves.
        metrics: names; all available ones if None.
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
        key: of the output in the cache; empty if there is none.
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
        settings: the request.
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
        values = self.values(contender, metric)
        return float(np.mean(list(values.values()))) if values else nan

    def values(self, contender: str, metric: str) -> dict[str, float]:
        """Return a contender's scores on the compared clips that all allow the metric, by clip; none if it failed."""
        clips = [clip for clip in self.compared if self._allows(clip, metric)]
        results = {clip: self.result(clip, contender) for clip in clips}
        return {clip: one.scores[metric] for clip, one in results.items() if not one.error}

    def _allows(self, clip: str, metric: str) -> bool:
        return all(isfinite(one.scores[metric]) for one in self.results if one.clip == clip and not one.error)


@dataclass(frozen=True, slots=True)
class _Task:
    """A clip as a contender and a metric see it."""

    name: str
    request: Request
    reference: Frames | None

    def row_frames(self) -> Frames:
        """Return what the row that no contender made shows: the truth, or the input enlarged and held."""
        if self.reference is not None:
            return self.reference
        request = self.request
        still = enlarge_and_hold(request.key_frames, request.height, request.width, request.factor)
        return still[: request.frames]


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

    Raises:
        SettingsError: there are no contenders, two share a name, or a metric is unknown or unavailable.
        InputError: a clip cannot be read.
        JobFailed: an output cannot be kept.
    """
    names = [contender.name for contender in contenders]
    if not names or len(set(names)) < len(names) or {REFERENCE, INPUT} & set(names):
        raise SettingsError(f"contenders {', '.join(names) or 'none'}: pass one or more, each with its own name")
    metrics, left_out = choose_metrics(settings)
    progress.start(len(contenders) * len(clips), "enhance")
    inputs: dict[str, Frames] = {}
    tasks = partial(_task, settings=settings, inputs=inputs)
    outputs = [one for contender in contenders for one in _enhance_all(contender, clips, tasks, cache, progress)]
    progress.start(len(outputs) + len(clips), "measure")
    row = REFERENCE if settings.has_reference else INPUT
    results: list[Result] = []
    frames: dict[str, int] = {}
    for clip in clips:
        task = tasks(clip)
        frames[clip.name] = task.request.frames
        own = (Result(clip=clip.name, contender=row), *(one for one in outputs if one.clip == clip.name))
        for one in own:
            results.append(one if one.error else replace(one, scores=_scores(one, task, settings, metrics, cache)))
            progress.advance()
    return Evaluation(
        settings=settings,
        metrics=metrics,
        left_out=left_out,
        contenders=(*names, row),
        frames=frames,
        results=tuple(results),
    )


def choose_metrics(settings: EvaluateSettings) -> tuple[tuple[Metric, ...], tuple[str, ...]]:
    """Return the metrics to measure, and why others are not.

    What compares with the input is left out where there is a truth, and what needs a truth where there is none.

    Raises:
        SettingsError: a requested one is unknown or unavailable.
        WeightsError: weights that the user named cannot be used.
    """
    blank = np.zeros((1, 64, 64, 3), np.uint8)
    reference = blank if settings.has_reference else None
    subject = Subject(result=blank, reference=reference, source=blank, weights=settings.weights)
    for name in settings.weights.keys() & all_metrics().keys():  # tried now rather than after an hour
        score(subject, [name])
    if settings.metrics is not None:
        return metrics_named(settings.metrics, subject), ()
    usual = [metric for metric in all_metrics().values() if _suits(metric, settings)]
    reasons = {metric.name: lacks(metric, subject) for metric in usual}
    left_out = tuple(f"{name}: {reason}" for name, reason in reasons.items() if reason)
    return tuple(metric for metric in usual if not reasons[metric.name]), left_out


def _suits(metric: Metric, settings: EvaluateSettings) -> bool:
    """Tell whether a metric is of use: what compares with the truth where there is one, with the input where not."""
    return "source" not in metric.takes if settings.has_reference else not metric.needs_reference


def shown_frames(clip: TestClip, settings: EvaluateSettings, result: Result, cache: Cache) -> Frames:
    """Return the frames behind a result that has no error, for pictures."""
    if result.key:
        return np.load(cache.file(result.key), mmap_mode="r")
    return _task(clip, settings, {}).row_frames()


def _task(clip: TestClip, settings: EvaluateSettings, inputs: dict[str, Frames]) -> _Task:
    """Return a clip as contenders and metrics see it; inputs are made once, so that all are given the same."""
    frames, degradation = clip.load(), settings.degradation
    if settings.has_reference and clip.name not in inputs:
        inputs[clip.name] = degradation.apply(frames)
    source = inputs[clip.name] if settings.has_reference else frames
    rate = clip.rate / degradation.factor if settings.has_reference else clip.rate
    request = Request(key_frames=source, rate=rate, scale=degradation.scale, factor=degradation.factor, name=clip.name)
    return _Task(clip.name, request, frames if settings.has_reference else None)


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
        request = tasks(clip).request
        key = output_key(request.key_frames, request.rate, request.scale, request.factor, contender.identity)
        output, result = cache.output(key), Result(clip=clip.name, contender=contender.name)
        if output is None:
            try:
                baseline = baseline or contender.load()
                output = Output.timed(partial(_enhance, baseline, request))
            except Exception as failure:
                line = " ".join(str(failure).split())[:300]
                result = replace(
                    result, error=line if isinstance(failure, VEnhancerError) else f"{type(failure).__name__}: {line}"
                )
            else:
                cache.keep_output(key, output, {"clip": clip.name, "contender": contender.name})
        progress.advance()
        yield result if output is None else replace(result, seconds=output.seconds, key=key)


def _enhance(baseline: Baseline, request: Request) -> Frames:
    return request.check(baseline(request))


def _scores(
    result: Result, task: _Task, settings: EvaluateSettings, metrics: Sequence[Metric], cache: Cache
) -> dict[str, float]:
    """Return the scores of a result or, if it has no output, of the row that no contender made.

    Those of earlier evaluations are used as far as they are there.
    """
    frames, request = np.load(cache.file(result.key)) if result.key else task.row_frames(), task.request
    compared_with = request.key_frames if task.reference is None else task.reference
    key = scores_key(result.key or digest_frames(frames), compared_with)
    known = cache.scores(key)
    missing = [metric for metric in metrics if metric.needs_weights or metric.label not in known]
    subject = Subject(
        result=frames,
        reference=task.reference,
        source=request.key_frames,
        factor=request.factor,
        rate=request.rate * request.factor,
        weights=settings.weights,
    )
    scores = measure_all(missing, subject)
    fresh = {metric.label: scores[metric.name] for metric in missing if isfinite(scores[metric.name])}
    cache.keep_scores(key, known | fresh)
    return {metric.name: scores[metric.name] if metric in missing else known[metric.label] for metric in metrics}
