"""Loss curves: the logs of one run or several in one picture, `venhancer train curves RUN... --output FILE`."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from venhancer.errors import InputError, SettingsError
from venhancer.reports.plots import new_figure
from venhancer.training.log.file import Line, read_log, write_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SMOOTHED_OVER = 25
"""Log lines that a curve is averaged over; the lines themselves are drawn faintly behind it."""


def draw_curves(runs: Sequence[Path], target: Path) -> None:
    """Draw the loss, its terms' means, the validation loss and PSNR of runs, a colour each, into a PNG file.

    Raises:
        InputError: a folder holds no log, or the log has no line yet.
        SettingsError: the target is no PNG file, or matplotlib is missing.
        JobFailed: the picture cannot be written.
    """
    if target.suffix != ".png":
        raise SettingsError(f"{target} is not a .png file; pass one, such as --output curves.png")
    logs = {str(run): read_log(run) for run in runs}
    for run, lines in logs.items():
        if not any("loss" in line for line in lines):
            raise InputError(f"{run} has no training line in its log yet; wait for the first log_every steps")
    figure = new_figure(1200, 800, "curves")
    (loss, buckets), (validation, psnr) = figure.subplots(2, 2)
    for number, (run, lines) in enumerate(logs.items()):
        colour = f"C{number}"
        _draw_terms(loss, run, lines, colour)
        _draw_last_buckets(buckets, lines, colour)
        _draw_validation(validation, lines, "loss", colour)
        _draw_validation(psnr, lines, "psnr", colour)
    titles = ("loss by term", "loss by timestep, last clips", "validation loss", "validation PSNR, dB")
    for axes, title in zip((loss, buckets, validation, psnr), titles, strict=True):
        axes.set(title=title, xlabel="timestep" if axes is buckets else "step")
        axes.grid(alpha=0.3)
    loss.set_yscale("log")
    loss.legend(fontsize="small")
    content = BytesIO()
    figure.savefig(content, format="png")
    write_file(target, content.getvalue())


def smoothed(values: Sequence[float]) -> Float[np.ndarray, " n"]:
    """Return the mean around each value, over as many before as after: fewer towards the ends, none left out."""
    sums = np.concatenate([[0.0], np.cumsum(np.asarray(values, dtype=float))])
    places = np.arange(len(values))
    reach = np.minimum(np.minimum(places, len(values) - 1 - places), SMOOTHED_OVER // 2)
    return (sums[places + reach + 1] - sums[places - reach]) / (2 * reach + 1)


def _draw_terms(axes: "Axes", run: str, lines: Iterable[Line], colour: str) -> None:
    styles = ("-", "--", ":", "-.")
    points: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for line in lines:
        for name, value in line.get("terms", {}).items():
            points[name].append((line["step"], value))
    for number, (name, pairs) in enumerate(points.items()):
        steps, values = zip(*pairs, strict=True)
        axes.plot(steps, values, color=colour, alpha=0.15, linewidth=0.8)
        axes.plot(steps, smoothed(values), styles[number % len(styles)], color=colour, label=f"{run}: {name}")


def _draw_last_buckets(axes: "Axes", lines: Sequence[Line], colour: str) -> None:
    means: Mapping[str, Mapping[str, float]] = next(line["by_timestep"] for line in reversed(lines) if "loss" in line)
    for buckets in means.values():
        if len(buckets) > 1:  # one timestep alone is no curve
            middles = [np.mean([int(edge) for edge in label.split("-")]) for label in buckets]
            axes.plot(middles, list(buckets.values()), "o-", color=colour)


def _draw_validation(axes: "Axes", lines: Iterable[Line], name: str, colour: str) -> None:
    points = [(line["step"], line["validation"][name]) for line in lines if "validation" in line]
    if points:
        steps, values = zip(*points, strict=True)
        axes.plot(steps, values, "o-", color=colour, markersize=3)
