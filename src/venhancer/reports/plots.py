"""Plain plots for reports: lines over a number, and bars by name.

They show a handful of series at the size of a page; the JSON of every report has the figures.
"""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from venhancer.errors import SettingsError
from venhancer.reports.sheets import FAINT, GROUND, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#5a5a5a")
"""Of the series in order, distinguishable with colour blindness (Okabe and Ito)."""

PALE = "#b2c2d0"
DOTS_PER_INCH = 100
MOST_MARKS = 8
"""Different values that are all marked on the horizontal axis; more are marked evenly."""


def new_figure(width: int, height: int, extra: str = "evaluate") -> "Figure":
    """Return an empty figure.

    Args:
        width: in pixels.
        height: in pixels.
        extra: of this package, that brings matplotlib.

    Raises:
        SettingsError: matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise SettingsError(f"plots need {error.name}; run pip install 'venhancer[{extra}]'") from error
    return Figure((width / DOTS_PER_INCH, height / DOTS_PER_INCH), dpi=DOTS_PER_INCH, layout="constrained")


def line_plot(
    lines: Mapping[str, Sequence[tuple[float, float]]],
    *,
    title: str = "",
    across: str = "",
    upward: str = "",
    size: tuple[int, int] = (560, 340),
) -> UInt8[np.ndarray, "h w 3"]:
    """Return lines through points, a dot each, with a legend if there are several.

    Args:
        lines: points (x, y) by name; points that are no numbers are left out.
        title: above everything.
        across: name of the horizontal axis.
        upward: name of the vertical axis.
        size: width and height in pixels.

    Raises:
        SettingsError: matplotlib is missing.
        ValueError: no point is left.
    """
    finite = {name: sorted(p for p in points if all(map(isfinite, p))) for name, points in lines.items()}
    marks = sorted({x for points in finite.values() for x, _ in points})
    if not marks:
        raise ValueError("a plot needs points")
    figure = new_figure(*size)
    axes = _axes(figure, title)
    for number, (name, points) in enumerate(finite.items()):
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(*zip(*points, strict=True), "o-", color=colour, linewidth=1.5, markersize=4, label=name)
    axes.set_xlabel(across)
    axes.set_ylabel(upward)
    axes.grid(axis="y", alpha=0.4)
    if len(marks) <= MOST_MARKS:
        axes.set_xticks(marks, [f"{x:g}" for x in marks])
    if len(finite) > 1:
        axes.legend(fontsize="small", frameon=False)
    return _pixels(figure)


def bar_plot(
    bars: Mapping[str, float], *, title: str = "", pale: Sequence[str] = (), width: int = 560
) -> UInt8[np.ndarray, "h w 3"]:
    """Return lying bars from zero, a value at the end of each.

    Args:
        bars: values by name; one that is no number has no bar.
        title: above everything.
        pale: names of bars that are only there to compare with.
        width: in pixels; the height follows from the number of bars.

    Raises:
        SettingsError: matplotlib is missing.
        ValueError: there are no bars.
    """
    if not bars:
        raise ValueError("a plot needs bars")
    figure = new_figure(width, 60 + 26 * len(bars))
    axes = _axes(figure, title)
    lengths = [value if isfinite(value) else 0.0 for value in bars.values()]
    colours = [PALE if name in pale else COLOURS[0] for name in bars]
    patches = axes.barh(list(bars), lengths, height=0.6, color=colours)
    axes.bar_label(patches, [f"{value:.4g}" if isfinite(value) else "-" for value in bars.values()], padding=4)
    axes.margins(x=0.15)
    axes.set_xticks([])
    axes.invert_yaxis()
    axes.spines["bottom"].set_visible(False)
    return _pixels(figure)


def _axes(figure: "Figure", title: str) -> "Axes":
    """Return the axes of a figure, in the colours of the pictures beside it."""
    figure.set_facecolor(GROUND)
    axes = figure.add_subplot(facecolor=GROUND)
    axes.set_title(title, loc="left", color=INK, fontsize="medium")
    axes.tick_params(labelcolor=FAINT, length=0, labelsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _pixels(figure: "Figure") -> UInt8[np.ndarray, "h w 3"]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
