"""Studies on clips: inputs made, enhanced with every value, measured, and compared with one another.

One clip is worked on at a time and only what pictures need of it is held, so memory does not grow with their number.
Everything is a function of clips, model and seed; outputs are kept between runs like those of `venhancer evaluate`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations
from math import isfinite, nan
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from venhancer.errors import SettingsError
from venhancer.evaluation.cache import Cache, Output, digest_frames, digest_values
from venhancer.evaluation.clips import TestClip
from venhancer.evaluation.contenders import model_identity
from venhancer.evaluation.degrade import enlarge_and_hold, resize
from venhancer.evaluation.metrics.metric import Metric, Subject
from venhancer.evaluation.metrics.registry import lacks, measure_all, metric_named
from venhancer.evaluation.studies.catalogue import Setup, Study
from venhancer.frames.levels import Frames
from venhancer.progress import SILENT, Progress
from venhancer.reports.sheets import Box, busiest_box, liveliest_row
from venhancer.settings import SMALLEST_SIDE, parse_settings

Enhance = Callable[[Frames, Fraction, tuple[int, int], Setup], Frames]
"""Takes key frames, their rate, the size (width, height) of the output and the setup."""

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
"""Metrics unless the user names others, as far as they are available; the last two only without a truth."""

INPUT, TRUTH = "input, enlarged and held", "truth"


@dataclass(frozen=True, slots=True)
class Model:
    """What enhances, and everything its outputs depend on besides its arguments."""

    enhance: Enhance
    identity: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySettings:
    """What all studies have in common.

    Args:
        scale: see `Setup`, where a study does not vary it.
        factor: likewise.
        prompts: what each clip shows, by its name.
        seed: of all noise.
        metrics: names; the available ones of `METRICS` if None.

    Raises:
        SettingsError: one of them cannot be.
    """

    scale: float = 4.0
    factor: int = 3
    prompts: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    metrics: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.factor <= 8:
            raise SettingsError(f"temporal factor {self.factor} must be a whole number from 1 to 8")
        for prompt in self.prompts.values() or ("",):
            parse_settings(scale=self.scale, seed=self.seed, prompt=prompt)


@dataclass(frozen=True, slots=True)
class _Case:
    """One clip at one value: the truth, the model's input, and the task."""

    clip: TestClip
    truth: Frames
    source: UInt8[np.ndarray, "k h2 w2 3"]
    setup: Setup


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipPictures:
    """What pictures show of one clip.

    Args:
        stills: the same moment of the input and of every output, by label; of the truth too if there is one.
        lines: one row of pixels of all frames of the same clips, `f 1 w 3`.
        crop: the part worth enlarging.
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
        scores: by clip, label (and `INPUT`) and metric; NaN where one is unavailable.
        differences: mean absolute difference of two outputs in levels of 255, mean over clips, by their labels.
        errors: why there is no output, by label.
        pictures: by clip.
    """

    study: Study
    labels: tuple[str, ...]
    metrics: tuple[Metric, ...]
    scores: Mapping[str, Mapping[str, Mapping[str, float]]]
    differences: Mapping[tuple[str, str], float]
    errors: Mapping[str, str]
    pictures: Mapping[str, ClipPictures]

    @property
    def outputs(self) -> tuple[str, ...]:
        """Labels of the values that gave an output."""
        return tuple(label for label in self.labels if label not in self.errors)

    def mean(self, label: str, metric: str) -> float:
        """Return the mean of a metric over the clips that allow it; NaN if none does."""
        values = [scores[label][metric] for scores in self.scores.values() if label in scores]
        finite = [value for value in values if isfinite(value)]
        return float(np.mean(finite)) if finite else nan

    def change(self, label: str) -> float:
        """Return how far the output lies from that of the first value, in levels of 255."""
        return self.differences.get((self.outputs[0], label), nan) if self.outputs else nan

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

    Clips are the truth, or inputs where the study refines.

    Raises:
        SettingsError: a metric is unknown, or a clip is too small.
        InputError: a clip cannot be read.
        JobFailed: an output cannot be kept.
    """
    labels = tuple(study.label_of(value) for value in study.values)
    metrics = _choose_metrics(study, settings)
    scores: dict[str, dict[str, dict[str, float]]] = {}
    differences: dict[tuple[str, str], list[float]] = {}
    errors: dict[str, str] = {}
    pictures: dict[str, ClipPictures] = {}
    progress.start(len(labels) * len(clips), study.name)
    for clip in clips:
        truth = clip.load()
        common = {"prompt": settings.prompts.get(clip.name, ""), "seed": settings.seed}
        base = Setup(scale=settings.scale, factor=settings.factor, settings=common)
        outputs: dict[str, Frames] = {}
        scores[clip.name] = {}
        for value, label in zip(study.values, labels, strict=True):
            try:
                setup = study.vary(base, value)
                case = _Case(clip, truth, make_input(truth, setup), setup)
                output = _enhance(case, model, cache)
            except SettingsError as error:
                errors[label] = str(error)
            else:
                outputs[label] = output
                scores[clip.name][label] = _scores(output, case, study, metrics)
                if INPUT not in scores[clip.name]:
                    still = enlarge_and_hold(case.source, truth.shape[1], truth.shape[2], setup.factor)
                    still = still[: len(output)]
                    outputs = {INPUT: still, **outputs}
                    scores[clip.name][INPUT] = _scores(still, case, study, metrics)
            progress.advance()
        for pair in combinations([name for name in outputs if name != INPUT], 2):
            differences.setdefault(pair, []).append(_difference(*(outputs[label] for label in pair)))
        clips_shown = outputs if study.is_refining else {**outputs, TRUTH: truth}
        pictures[clip.name] = _pictures(clips_shown, truth, settings.factor)
    return Finding(
        study=study,
        labels=labels,
        metrics=metrics,
        scores=scores,
        differences={pair: float(np.mean(values)) for pair, values in differences.items()},
        errors=errors,
        pictures=pictures,
    )


def load_model(model: str, *, device: str = "auto", dtype: str = "auto") -> Model:
    """Return a model ("nano", "v1", "v2" or a folder) as studies call it.

    Raises:
        WeightsError: there is no such model, or its folder is incomplete or damaged.
        SettingsError: this machine has no such device, or there is no such dtype.
    """
    from venhancer.weights import load_pipeline

    pipeline = load_pipeline(model, device=device, dtype=dtype)

    def enhance(source: UInt8[np.ndarray, "k h2 w2 3"], rate: Fraction, size: tuple[int, int], setup: Setup) -> Frames:
        settings: dict[str, Any] = {**setup.settings, "size": size, "fps": rate * setup.factor}
        return pipeline(source, source_fps=rate, **settings)

    return Model(enhance, {**model_identity(model), "device": device, "dtype": dtype})


def find_prompts(clips: Sequence[TestClip], paths: Sequence[Path], prompt: str | None) -> dict[str, str]:
    """Return what each clip of `paths` shows, by its name: `prompt`, or the content of the .txt file beside it."""
    if prompt is not None:
        return {clip.name: prompt for clip in clips}
    folders = [path if path.is_dir() else path.parent for path in paths]
    files = {clip.name: [folder / f"{clip.name}.txt" for folder in folders] for clip in clips}
    texts = ((name, file) for name, places in files.items() for file in places if file.is_file())
    return {name: file.read_text(encoding="utf-8").strip() for name, file in texts}


def make_input(truth: Frames, setup: Setup) -> UInt8[np.ndarray, "k h2 w2 3"]:
    """Return every `factor`-th frame made `scale` times smaller with a bicubic kernel, sides rounded to even ones.

    Raises:
        SettingsError: that would be too small, or of one frame alone.
    """
    _, height, width, _ = truth.shape
    rows, columns = (2 * round(side / setup.scale / 2) for side in (height, width))
    key_frames = truth[:: setup.factor]
    if min(rows, columns) < SMALLEST_SIDE or (setup.factor > 1 and len(key_frames) < 2):
        size = f"an input of {columns}x{rows} and {len(key_frames)} of {len(truth)} frames"
        raise SettingsError(
            f"{size} is too small; pass clips that leave sides of at least {SMALLEST_SIDE} and two frames"
        )
    return resize(key_frames, rows, columns, "bicubic")


def _choose_metrics(study: Study, settings: StudySettings) -> tuple[Metric, ...]:
    """Return the metrics available with a truth, or without one."""
    blank = np.zeros((2, SMALLEST_SIDE, SMALLEST_SIDE, 3), np.uint8)
    subject = Subject(result=blank, reference=None if study.is_refining else blank, source=blank)
    names = settings.metrics or (METRICS if study.is_refining else METRICS[:-2])
    return tuple(metric for metric in map(metric_named, names) if not lacks(metric, subject))


def _enhance(case: _Case, model: Model, cache: Cache) -> Frames:
    """Return an output, from the cache if it is there; frames after the last key frame are cut off."""
    setup, rate = case.setup, case.clip.rate / case.setup.factor
    frames, height, width, _ = case.truth.shape
    request = {"source": digest_frames(case.source), "rate": str(rate), "size": (width, height), "factor": setup.factor}
    words = {name: str(setup.settings[name]) for name in sorted(setup.settings)}
    key = digest_values({**request, "model": model.identity, "settings": words})
    output = cache.output(key)
    if output is None:
        length = (frames - 1) // setup.factor * setup.factor + 1
        output = Output.timed(lambda: model.enhance(case.source, rate, (width, height), setup)[:length])
        cache.keep_output(key, output, {"clip": case.clip.name, "settings": words})
    return output.frames


def _scores(output: Frames, case: _Case, study: Study, metrics: Sequence[Metric]) -> dict[str, float]:
    reference = None if study.is_refining else case.truth[: len(output)]
    subject = Subject(result=output, reference=reference, source=case.source, factor=case.setup.factor)
    return measure_all(metrics, subject)


def _difference(one: Frames, other: UInt8[np.ndarray, "f2 h w 3"]) -> float:
    """Return the mean absolute difference of two outputs over the frames that both have."""
    return float(np.mean([np.abs(a.astype(np.int16) - b).mean() for a, b in zip(one, other, strict=False)]))


def _pictures(clips: Mapping[str, Frames], truth: Frames, factor: int) -> ClipPictures:
    """Return one moment between key frames and the liveliest row of every clip."""
    shortest = min(map(len, clips.values()))
    moment = shortest // 2
    moment += moment % factor == 0 and moment + 1 < shortest
    row = min(int(liveliest_row(truth) * truth.shape[1]), truth.shape[1] - 1)
    return ClipPictures(
        stills={name: clip[moment] for name, clip in clips.items()},
        lines={name: clip[:shortest, row : row + 1].copy() for name, clip in clips.items()},
        crop=busiest_box(truth[moment]),
    )
