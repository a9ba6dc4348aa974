"""Plain plots for reports: lines over a number, and bars by name; drawn with Pillow like the pictures beside them.

They show a handful of series at the size of a page; whoever wants more finds the figures in the JSON of every report.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import floor, isfinite, log10
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from venhancer.reports.sheets import FAINT, GROUND, INK, font_of

COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (230, 159, 0), (90, 90, 90))
"""Of the series in order, told apart by people who see colours differently (Okabe and Ito)."""

GRID, PALE = (218, 218, 216), (178, 194, 208)
FINE = 2
"""Everything is drawn this many times larger and then reduced, for smooth edges."""

TEXT, TITLE = 13 * FINE, 16 * FINE


class _Axis(NamedTuple):
    """A range of values along a range of pixels."""

    low: float
    high: float
    begin: float
    end: float

    def at(self, value: float) -> float:
        return self.begin + (value - self.low) / (self.high - self.low) * (self.end - self.begin)


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
        ValueError: no point is left.
    """
    finite = {name: [p for p in points if all(map(isfinite, p))] for name, points in lines.items()}
    points = [point for line in finite.values() for point in line]
    if not points:
        raise ValueError("a plot needs points")
    width, height = (side * FINE for side in size)
    image, draw = _blank(width, height, title)
    font = font_of(TEXT)
    many = len(finite) > 1
    top = 16 * FINE + TITLE * bool(title) + (TEXT + 8 * FINE) * many + (TEXT + 6 * FINE) * bool(upward)
    rise = _range([y for _, y in points])
    marks = {y: _number(y, rise) for y in _ticks(*rise)}
    left = 28 * FINE + max(font.getlength(words) for words in marks.values())
    x_axis = _Axis(*_range([x for x, _ in points], margin=0.04), left, width - 20 * FINE)
    y_axis = _Axis(*rise, height - (2 * TEXT if across else TEXT) - 24 * FINE, top + 6 * FINE)
    for y, words in marks.items():
        draw.line((left, y_axis.at(y), x_axis.end, y_axis.at(y)), fill=GRID, width=FINE)
        draw.text((left - 8 * FINE, y_axis.at(y)), words, fill=FAINT, font=font, anchor="rm")
    for x in _places([x for x, _ in points], (x_axis.low, x_axis.high)):
        words = _number(x, (x_axis.low, x_axis.high))
        draw.text((x_axis.at(x), y_axis.begin + 8 * FINE), words, fill=FAINT, font=font, anchor="mt")
    draw.text(((left + x_axis.end) / 2, height - 10 * FINE), across, fill=INK, font=font, anchor="mb")
    draw.text((16 * FINE, top - TEXT - 2 * FINE), upward, fill=INK, font=font, anchor="lt")
    begin = 16.0 * FINE
    for (name, line), colour in zip(finite.items(), _colours(), strict=False):
        places = [(x_axis.at(x), y_axis.at(y)) for x, y in sorted(line)]
        draw.line(places, fill=colour, width=2 * FINE, joint="curve")
        for x, y in places if len(places) <= 40 else ():
            draw.circle((x, y), 3 * FINE, fill=colour)
        if many:
            middle = 16 * FINE + TITLE * bool(title) + TEXT / 2 + 4 * FINE
            draw.line((begin, middle, begin + 16 * FINE, middle), fill=colour, width=3 * FINE)
            draw.text((begin + 22 * FINE, middle), name, fill=INK, font=font, anchor="lm")
            begin += font.getlength(name) + 40 * FINE
    return _reduced(image)


def bar_plot(
    bars: Mapping[str, float], *, title: str = "", unit: str = "", pale: Sequence[str] = (), width: int = 560
) -> UInt8[np.ndarray, "h w 3"]:
    """Return lying bars from zero, a value at the end of each.

    Args:
        bars: values by name; one that is no number has no bar.
        title: above everything.
        unit: after every value.
        pale: names of bars that are only there to compare with.
        width: in pixels; the height follows from the number of bars.

    Raises:
        ValueError: there are no bars.
    """
    if not bars:
        raise ValueError("a plot needs bars")
    font = font_of(TEXT)
    top, pitch = 16 * FINE + (TITLE + 12 * FINE) * bool(title), TEXT + 12 * FINE
    image, draw = _blank(width * FINE, top + pitch * len(bars) + 10 * FINE, title)
    finite = [value for value in bars.values() if isfinite(value)] or [0.0]
    words = {name: f"{value:.4g} {unit}".strip() if isfinite(value) else "-" for name, value in bars.items()}
    left = 28 * FINE + max(font.getlength(name) for name in bars)
    right = width * FINE - 24 * FINE - max(font.getlength(value) for value in words.values())
    low, high = min(0.0, *finite), max(0.0, *finite)
    axis = _Axis(low, high if high > low else low + 1, left, max(right, left + 1))
    for number, (name, value) in enumerate(bars.items()):
        middle = top + pitch * (number + 0.5)
        draw.text((16 * FINE, middle), name, fill=INK, font=font, anchor="lm")
        begin, end = sorted((axis.at(0), axis.at(value if isfinite(value) else 0)))
        box = (begin, middle - TEXT / 2 - FINE, max(end, begin + FINE), middle + TEXT / 2 + FINE)
        draw.rectangle(box, fill=PALE if name in pale else COLOURS[0])
        draw.text((box[2] + 6 * FINE, middle), words[name], fill=INK, font=font, anchor="lm")
    return _reduced(image)


def _blank(width: int, height: int, title: str) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (width, height), GROUND)
    draw = ImageDraw.Draw(image)
    draw.text((16 * FINE, 14 * FINE), title, fill=INK, font=font_of(TITLE), anchor="lt")
    return image, draw


def _reduced(image: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    return np.asarray(image.reduce(FINE))


def _colours() -> Iterator[tuple[int, int, int]]:
    while True:
        yield from COLOURS


def _range(values: Sequence[float], margin: float = 0.08) -> tuple[float, float]:
    """Return the least and the largest value with some room around them."""
    low, high = min(values), max(values)
    room = (high - low) * margin or abs(high) * margin or 1.0
    return low - room, high + room


def _places(values: Sequence[float], span: tuple[float, float]) -> list[float]:
    """Return where the horizontal axis is marked: at the values if they are few, else evenly."""
    few = sorted(set(values))
    return few if len(few) <= 8 else _ticks(*span)


def _ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers inside a range."""
    rough = (high - low) / most
    power = 10.0 ** floor(log10(rough))
    step = next(power * digit for digit in (1, 2, 5, 10) if power * digit >= rough * (1 - 1e-9))
    first = -floor(-low / step)
    return [number * step for number in range(first, floor(high / step) + 1)]


def _number(value: float, span: tuple[float, float]) -> str:
    """Return a number with as many digits as tell the marks of a range apart."""
    digits = max(0, 1 - floor(log10(span[1] - span[0])))
    return f"{value:,.{digits}f}".rstrip("0").rstrip(".") if digits else f"{value:,.0f}"
