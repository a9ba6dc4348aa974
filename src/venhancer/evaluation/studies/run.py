"""Studies on clips: inputs made, enhanced with every value, measured, and compared with one another.

One clip is worked on at a time and only what pictures need of it is held, so memory does not grow with their number.
Everything is a function of clips, model and seed; outputs are kept between runs like those of `venhancer evaluate`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import isfinite, nan
from typing import Any

import numpy as np
from jaxtyping import UInt8

from venhancer.errors import SettingsError
from venhancer.evaluation.cache import Cache, Output, digest
from venhancer.evaluation.clips import TestClip
from venhancer.evaluation.contenders import fingerprint, model_identity
from venhancer.evaluation.degrade import resize
from venhancer.evaluation.metrics.metric import Metric, Subject
from venhancer.evaluation.metrics.registry import lacks, measure, metric_named
from venhancer.evaluation.studies.study import Ask, Study
from venhancer.progress import SILENT, Progress
from venhancer.reports.sheets import Box, busiest_box, liveliest_row
from venhancer.settings import SMALLEST_SIDE

Clip = UInt8[np.ndarray, "_ _ _ 3"]
Enhance = Callable[[Clip, Fraction, tuple[int, int], Ask], Clip]
"""Takes key frames, their rate, the size (width, height) of the output and what is asked."""

METRICS = (
    "psnr",
    "ssim",
    "st_lpips",
    "sharpness",
    "warped_error",
    "temporal_flicker",
    "frame_difference_error",
    "input_ssim",
    "vbench_flicker",
)
"""What is measured unless the user names others, as far as it can be had; the last two only without a truth."""

INPUT, TRUTH = "input, enlarged and held", "truth"


@dataclass(frozen=True, slots=True)
class Model:
    """What enhances, and everything its outputs depend on besides what it is given."""

    enhance: Enhance
    identity: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySettings:
    """What all studies have in common.

    Args:
        scale: see `Ask`, where a study does not vary it.
        factor: likewise.
        prompts: what each clip shows, by its name.
        seed: of all noise.
        metrics: names; `METRICS` as far as they can be had if None.
    """

    scale: float = 4.0
    factor: int = 3
    prompts: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    metrics: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class _Job:
    """One clip at one value: what there is, what the model is given, and what is asked of it."""

    clip: TestClip
    truth: Clip
    source: Clip
    ask: Ask


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What pictures show of one clip.

    Args:
        stills: the same moment of the input and of every output, by label; of the truth too if there is one.
        lines: one row of pixels of all frames of the same clips, `f 1 w 3`.
        crop: what is worth enlarging.
    """

    stills: Mapping[str, UInt8[np.ndarray, "_ _ 3"]]
    lines: Mapping[str, UInt8[np.ndarray, "_ 1 _ 3"]]
    crop: Box


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What came of a study.

    Args:
        study: what was varied.
        labels: of its values, in order.
        metrics: measured.
        scores: by clip, label (and `INPUT`) and metric; NaN where one cannot be had.
        differences: mean absolute difference of two outputs in levels of 255, mean over clips, by their labels.
        errors: why there is no output, by label.
        shown: by clip.
    """

    study: Study
    labels: tuple[str, ...]
    metrics: tuple[Metric, ...]
    scores: Mapping[str, Mapping[str, Mapping[str, float]]]
    differences: Mapping[tuple[str, str], float]
    errors: Mapping[str, str]
    shown: Mapping[str, Shown]

    @property
    def done(self) -> tuple[str, ...]:
        """Labels of the values that gave an output."""
        return tuple(label for label in self.labels if label not in self.errors)

    def mean(self, label: str, metric: str) -> float:
        """Return the mean of a metric over the clips that allow it; NaN if none does."""
        found = [scores[label][metric] for scores in self.scores.values() if label in scores]
        finite = [value for value in found if isfinite(value)]
        return float(np.mean(finite)) if finite else nan

    def change(self, label: str) -> float:
        """Return how far the output lies from that of the first value, in levels of 255."""
        return self.differences.get((self.done[0], label), nan) if self.done else nan

    @property
    def reach(self) -> float:
        """How far the two outputs that differ most lie apart, in levels of 255: 0 if the setting does nothing."""
        return max(self.differences.values(), default=0.0)


def run_study(
    study: Study,
    clips: Sequence[TestClip],
    settings: StudySettings,
    model: Model,
    cache: Cache,
    *,
    progress: Progress = SILENT,
) -> Finding:
    """Return what a study finds.

    Args:
        study: what is varied.
        clips: the truth, or inputs where the study refines.
        settings: what all studies have in common.
        model: what enhances.
        cache: where outputs are, and are kept.
        progress: told of every output.

    Raises:
        SettingsError: a metric is unknown, or a clip is too small.
        InputError: a clip cannot be read.
        JobFailed: an output cannot be kept.
    """
    labels = tuple(study.label_of(value) for value in study.values)
    metrics = _choose_metrics(study, settings)
    scores: dict[str, dict[str, dict[str, float]]] = {}
    apart: dict[tuple[str, str], list[float]] = {}
    errors: dict[str, str] = {}
    shown: dict[str, Shown] = {}
    progress.start(len(labels) * len(clips), study.name)
    for clip in clips:
        truth = clip.load()
        base = Ask(
            scale=settings.scale,
            factor=settings.factor,
            settings={"prompt": settings.prompts.get(clip.name, ""), "seed": settings.seed},
        )
        outputs: dict[str, Clip] = {}
        scores[clip.name] = {}
        for value, label in zip(study.values, labels, strict=True):
            try:
                ask = study.ask(base, value)
                job = _Job(clip, truth, make_input(truth, ask), ask)
                output = _enhanced(job, model, cache)
            except SettingsError as error:
                errors[label] = str(error)
            else:
                outputs[label] = output
                scores[clip.name][label] = _scores(output, job, study, metrics)
                if INPUT not in scores[clip.name]:
                    held = enlarge_and_hold(job.source, truth, ask.factor)
                    outputs = {INPUT: held, **outputs}
                    scores[clip.name][INPUT] = _scores(held, job, study, metrics)
            progress.advance()
        for pair, difference in _differences(outputs).items():
            apart.setdefault(pair, []).append(difference)
        shown[clip.name] = _show(outputs if study.is_refining else {**outputs, TRUTH: truth}, truth, settings.factor)
    return Finding(
        study=study,
        labels=labels,
        metrics=metrics,
        scores=scores,
        differences={pair: float(np.mean(found)) for pair, found in apart.items()},
        errors=errors,
        shown=shown,
    )


def load_model(model: str, *, device: str = "auto", dtype: str = "auto") -> Model:
    """Return a model ("nano", "v1", "v2" or a folder) as studies call it.

    Raises:
        WeightsError: there is no such model, or its folder is incomplete or damaged.
        SettingsError: this machine has no such device, or there is no such dtype.
    """
    from venhancer.weights import load_pipeline

    pipeline = load_pipeline(model, device=device, dtype=dtype)

    def enhance(source: Clip, rate: Fraction, size: tuple[int, int], ask: Ask) -> Clip:
        settings: dict[str, Any] = {**ask.settings, "size": size, "fps": rate * ask.factor}
        return pipeline(source, source_fps=rate, **settings)

    return Model(enhance, {**model_identity(model), "device": device, "dtype": dtype})


def make_input(truth: Clip, ask: Ask) -> Clip:
    """Return every `factor`-th frame made `scale` times smaller with a bicubic kernel, sides rounded to even ones.

    Raises:
        SettingsError: that would be too small, or of one frame alone.
    """
    _, height, width, _ = truth.shape
    rows, columns = (2 * round(side / ask.scale / 2) for side in (height, width))
    key_frames = truth[:: ask.factor]
    if min(rows, columns) < SMALLEST_SIDE or (ask.factor > 1 and len(key_frames) < 2):
        given = f"an input of {columns}x{rows} and {len(key_frames)} of {len(truth)} frames"
        raise SettingsError(f"{given} is too small; pass clips that leave sides of {SMALLEST_SIDE} and two frames")
    return resize(key_frames, rows, columns, "bicubic")


def enlarge_and_hold(source: Clip, truth: Clip, factor: int) -> Clip:
    """Return the input at the truth's size, each frame held until the next."""
    large = resize(source, truth.shape[1], truth.shape[2], "bicubic")
    return np.repeat(large, factor, axis=0)[: _count(len(truth), factor)]


def _count(frames: int, factor: int) -> int:
    """Return how many frames lie from the first key frame to the last."""
    return (frames - 1) // factor * factor + 1


def _choose_metrics(study: Study, settings: StudySettings) -> tuple[Metric, ...]:
    """Return the metrics that can be had where there is a truth, or none."""
    blank = np.zeros((2, SMALLEST_SIDE, SMALLEST_SIDE, 3), np.uint8)
    subject = Subject(result=blank, reference=None if study.is_refining else blank, source=blank)
    names = settings.metrics or (METRICS if study.is_refining else METRICS[:-2])
    return tuple(metric for metric in map(metric_named, names) if not lacks(metric, subject))


def _enhanced(job: _Job, model: Model, cache: Cache) -> Clip:
    """Return an output, made unless it is kept from before; frames after the last key frame are cut off."""
    ask = job.ask
    size, rate = (job.truth.shape[2], job.truth.shape[1]), job.clip.rate / ask.factor
    asked = {"source": digest(job.source), "rate": str(rate), "size": size, "factor": ask.factor}
    words = {name: str(ask.settings[name]) for name in sorted(ask.settings)}
    key = fingerprint({**asked, "model": model.identity, "settings": words})
    output = cache.output(key)
    if output is None:
        started = time.monotonic()
        made = model.enhance(job.source, rate, size, ask)[: _count(len(job.truth), ask.factor)]
        output = Output(made, round(time.monotonic() - started, 3))
        cache.keep_output(key, output, {"clip": job.clip.name, "settings": words})
    return output.frames


def _scores(output: Clip, job: _Job, study: Study, metrics: Sequence[Metric]) -> dict[str, float]:
    """Return scores by name, NaN where a clip does not allow one."""
    reference = None if study.is_refining else job.truth[: len(output)]
    subject = Subject(result=output, reference=reference, source=job.source, factor=job.ask.factor)
    found = {}
    for metric in metrics:
        try:
            found[metric.name] = measure(metric, subject)
        except SettingsError:
            found[metric.name] = nan
    return found


def _differences(outputs: Mapping[str, Clip]) -> dict[tuple[str, str], float]:
    """Return the mean absolute difference of every two outputs over the frames that both have."""
    found = {}
    names = [name for name in outputs if name != INPUT]
    for number, one in enumerate(names):
        for other in names[number + 1 :]:
            pairs = zip(outputs[one], outputs[other], strict=False)
            found[one, other] = float(np.mean([np.abs(a.astype(np.int16) - b).mean() for a, b in pairs]))
    return found


def _show(clips: Mapping[str, Clip], truth: Clip, factor: int) -> Shown:
    """Return one moment between key frames and the liveliest row of every clip."""
    shortest = min(len(clip) for clip in clips.values())
    moment = shortest // 2
    moment += moment % factor == 0 and moment + 1 < shortest
    row = min(int(liveliest_row(truth) * truth.shape[1]), truth.shape[1] - 1)
    return Shown(
        stills={name: clip[moment] for name, clip in clips.items()},
        lines={name: clip[:shortest, row : row + 1].copy() for name, clip in clips.items()},
        crop=busiest_box(truth[moment]),
    )
