"""All metrics by name, from the modules of this folder; a new metric is a new file."""

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from math import nan
from pkgutil import iter_modules

from venhancer.errors import JobFailed, SettingsError
from venhancer.evaluation import metrics
from venhancer.evaluation.metrics.metric import Metric, Subject
from venhancer.evaluation.metrics.shifts import SHIFTED, at_best_shift
from venhancer.evaluation.metrics.weights import weights_wanted

_FIRST = ("psnr", "ssim", "st_lpips", "vmaf", "warped_error", "temporal_flicker", "frame_difference_error")
"""Metrics that tables begin with; the others follow by name."""

_EXTRA = "pip install 'venhancer[evaluate]'"
INSTALL = {
    "erqa": "pip install --no-deps erqa",
    "flip_evaluator": "pip install flip-evaluator",
    "pycvvdp": "pip install cvvdp",
    "stlpips_pytorch": "pip install --no-deps stlpips-pytorch==0.0.2",
}
"""How to get packages that the extra `evaluate` does not bring."""


@cache
def all_metrics() -> Mapping[str, Metric]:
    """Return every metric, in the order of tables; loads no optional package."""
    modules = [import_module(f"{metrics.__name__}.{module.name}") for module in iter_modules(metrics.__path__)]
    metrics_by_name = {one.name: one for module in modules for one in vars(module).values() if isinstance(one, Metric)}
    return {name: metrics_by_name[name] for name in dict.fromkeys((*_FIRST, *sorted(metrics_by_name)))}


def metric_named(name: str) -> Metric:
    """Return a metric, or with "_shifted" after its name one that compares with the truth at the best shift.

    Raises:
        SettingsError: there is none of this name.
    """
    base = all_metrics().get(name.removesuffix(SHIFTED))
    if base is None or (name.endswith(SHIFTED) and not base.needs_reference):
        raise SettingsError(f"unknown metric {name}; there are {', '.join(all_metrics())}")
    return at_best_shift(base) if name.endswith(SHIFTED) else base


def lacks(metric: Metric, subject: Subject) -> str:
    """Return why a metric is unavailable here, as the end of a sentence; empty if it is available."""
    missing = [package for package in metric.packages if find_spec(package) is None]
    if missing:
        return f"it needs {', '.join(missing)}: run {' and '.join(INSTALL.get(name, _EXTRA) for name in missing)}"
    if metric.needs_reference and subject.reference is None:
        return "it needs the true frames"
    if {"source", "likeness"} & set(metric.takes) and subject.source is None and subject.reference is None:
        return "it needs the frames the result was made from"
    if metric.needs_weights and metric.weights_key not in subject.weights:
        return f"it needs {weights_wanted(metric.weights_key)}"
    return ""


def score(subject: Subject, names: Iterable[str] | None = None) -> dict[str, float]:
    """Return metrics of a result by name; without names, all available ones.

    Raises:
        ValueError: result and reference differ in shape.
        SettingsError: a name is unknown, or a named metric is unavailable.
        WeightsError: weights that the user named cannot be used.
    """
    reference = subject.reference
    if reference is not None and subject.result.shape != reference.shape:
        raise ValueError(f"result of shape {subject.result.shape} cannot be compared with {reference.shape}")
    if names is None:
        measurable = [metric for metric in all_metrics().values() if not lacks(metric, subject)]
    else:
        measurable = metrics_named(names, subject)
    return {metric.name: measure(metric, subject) for metric in measurable}


def metrics_named(names: Iterable[str], subject: Subject) -> tuple[Metric, ...]:
    """Return metrics that a subject allows.

    Raises:
        SettingsError: a name is unknown, or a metric is unavailable.
    """
    metrics = tuple(metric_named(name) for name in names)
    for metric in metrics:
        if reason := lacks(metric, subject):
            raise SettingsError(f"{metric.name} cannot be measured: {reason}")
    return metrics


def measure(metric: Metric, subject: Subject) -> float:
    """Return what a metric finds.

    Raises:
        SettingsError: this clip does not allow it, or a package is missing.
        WeightsError: weights that the user named cannot be used.
        JobFailed: a program that measures it failed.
    """
    weights = subject.weights.get(metric.weights_key)
    return metric(*(weights if name == "weights" else getattr(subject, name) for name in metric.takes))


def measure_all(metrics: Iterable[Metric], subject: Subject) -> dict[str, float]:
    """Return scores by name, NaN where the clip does not allow one.

    Raises:
        WeightsError: weights that the user named cannot be used.
    """
    scores = {}
    for metric in metrics:
        try:
            scores[metric.name] = measure(metric, subject)
        except (SettingsError, JobFailed):
            scores[metric.name] = nan
    return scores
