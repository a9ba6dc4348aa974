"""Pictures for reports: contact sheets, stills side by side with a crop enlarged, motion strips.

Frames of eight bits go in, one picture comes out; nothing here knows of models or torch. Training, evaluation and the
demo share it, so that a reader compares like with like: enlarging shows pixels as they are, and every picture of a
column has the same width.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from venhancer.durable import write_whole
from venhancer.errors import JobFailed
from venhancer.media.source import failures_as

Picture = UInt8[np.ndarray, "_ _ 3"]
Frames = UInt8[np.ndarray, "_ _ _ 3"]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

GROUND, INK, FAINT, ACCENT = "#f5f5f4", "#212529", "#6c7075", "#e8590c"
"""Colours: a neutral ground, text, less important text, and the frame around what is enlarged."""

MARGIN, GAP = 20, 8
STRIP_HEIGHT = 120
"""Least height of a motion strip in pixels."""

LARGEST_SIDE = 8192
"""Pictures longer than this are made smaller when saved: viewers and browsers refuse them."""


class Box(NamedTuple):
    """A part of a picture, in shares of its sides, so that it means the same at every size."""

    left: float
    top: float
    width: float
    height: float

    def cut(self, picture: Picture) -> Picture:
        """Return this part of a picture, one pixel at least."""
        left, top, right, bottom = self.edges(picture.shape[1], picture.shape[0])
        return picture[top:bottom, left:right]

    def edges(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Return the first column and row, and those one past the last, in a picture of this size."""
        left, top = min(round(self.left * width), width - 1), min(round(self.top * height), height - 1)
        right, bottom = round((self.left + self.width) * width), round((self.top + self.height) * height)
        return left, top, min(max(right, left + 1), width), min(max(bottom, top + 1), height)


def contact_sheet(
    pictures: Sequence[Sequence[Picture | None]],
    *,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    captions: Sequence[Sequence[str]] = (),
    title: str = "",
    crop: Box | Sequence[Box] | None = None,
    cell_width: int = 320,
) -> UInt8[np.ndarray, "h w 3"]:
    """Return a grid of pictures with headings, each with its crop enlarged below it.

    Args:
        pictures: by row and column; None leaves a place empty. All are brought to the same width.
        rows: headings at the left, none if empty.
        columns: headings above, none if empty.
        captions: a line below each picture, none if empty.
        title: above everything.
        crop: what is framed and shown enlarged, one for all rows or one each; None for no enlargement.
        cell_width: of every picture, in pixels.

    Raises:
        ValueError: there are no pictures, or not as many headings, captions or crops as there are pictures.
    """
    crops = list(crop) if isinstance(crop, Sequence) and not isinstance(crop, Box) else [crop] * len(pictures)
    if len(crops) != len(pictures):
        raise ValueError(f"{len(crops)} crops do not match {len(pictures)} rows")
    cells = [
        [None if one is None else _cell(one, box, cell_width) for one in row]
        for row, box in zip(pictures, crops, strict=True)
    ]
    return _lay_out(cells, rows, columns, captions, title)


def stills(
    clips: Mapping[str, Frames],
    frames: Sequence[int],
    *,
    crop: Box | None = None,
    title: str = "",
    cell_width: int = 320,
) -> UInt8[np.ndarray, "h w 3"]:
    """Return a few frames, a row each, of several clips beside one another.

    Args:
        clips: of equal length, by name; sizes may differ.
        frames: numbers of the frames shown.
        crop: see `contact_sheet`.
        title: above everything.
        cell_width: of every picture, in pixels.

    Raises:
        ValueError: there are no clips or frames.
    """
    pictures = [[clip[index] for clip in clips.values()] for index in frames]
    rows = [f"frame {index}" for index in frames]
    return contact_sheet(pictures, rows=rows, columns=list(clips), title=title, crop=crop, cell_width=cell_width)


def motion_strips(
    clips: Mapping[str, Frames], *, row: float = 0.5, title: str = "", width: int = 960
) -> UInt8[np.ndarray, "h w 3"]:
    """Return one row of pixels over time, downwards, for each clip, below one another.

    Steady motion shows as smooth slopes, repeated frames as steps, flicker as horizontal lines.

    Args:
        clips: by name; all fill the same height, whatever their number of frames and size.
        row: which one, as a share of the height.
        title: above everything.
        width: of every strip, in pixels.

    Raises:
        ValueError: there are no clips.
    """
    longest = max((len(clip) for clip in clips.values()), default=1)
    height = longest * -(-STRIP_HEIGHT // longest)
    cells = []
    for clip in clips.values():
        line = clip[:, min(int(row * clip.shape[1]), clip.shape[1] - 1)]
        cells.append([_resized(Image.fromarray(np.ascontiguousarray(line)), width, height)])
    return _lay_out(cells, list(clips), (), (), title)


def busiest_box(picture: Picture, share: float = 0.3) -> Box:
    """Return the part of a picture with most detail, its sides this share of the picture's: worth enlarging."""
    luma = picture.astype(np.float32).mean(axis=2)
    detail = np.abs(np.diff(luma, axis=1))[:-1] + np.abs(np.diff(luma, axis=0))[:, :-1]
    sums = np.pad(detail.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    height, width = (max(1, int(side * share)) for side in detail.shape)
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    top, left = np.unravel_index(inside.argmax(), inside.shape)
    return Box(float(left / luma.shape[1]), float(top / luma.shape[0]), share, share)


def disputed_box(pictures: Sequence[Picture], width: int, height: int) -> Box:
    """Return the part of this many pixels where pictures of one size differ most from their mean: worth comparing.

    Args:
        pictures: of the same frame, by different means.
        width: of the part; that of the pictures if they have less.
        height: of the part, likewise.
    """
    luma = np.stack([picture.astype(np.float32).mean(axis=2) for picture in pictures])
    width, height = min(width, luma.shape[2]), min(height, luma.shape[1])
    sums = np.abs(luma - luma.mean(axis=0)).sum(axis=0).cumsum(axis=0).cumsum(axis=1)
    sums = np.pad(sums, ((1, 0), (1, 0)))
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    top, left = np.unravel_index(inside.argmax(), inside.shape)
    sides = (luma.shape[2], luma.shape[1]) * 2
    return Box(*(float(part / side) for part, side in zip((left, top, width, height), sides, strict=True)))


def liveliest_row(clip: Frames) -> float:
    """Return the row of pixels where most changes over time, as a share of the height: worth a motion strip."""
    if len(clip) < 2:
        return 0.5
    change = sum(np.abs(b.astype(np.int16) - a).mean(axis=(1, 2)) for a, b in pairwise(clip))
    return (int(np.argmax(change)) + 0.5) / clip.shape[1]


def save_picture(picture: Picture, path: Path, *, quality: int = 88) -> Path:
    """Write a picture as .png or .jpg, whole or not at all, and return its path.

    Args:
        picture: RGB; made smaller if a side is over 8,192 pixels.
        path: an earlier file is replaced.
        quality: of a JPEG, 1 to 95.

    Raises:
        ValueError: the path ends in something else.
        JobFailed: the file cannot be written.
    """
    content = as_file(picture, path.suffix.lower(), quality=quality)
    with failures_as(JobFailed, f"{path} could not be written; free some space or choose another folder"):
        write_whole(path, content)
    return path


def as_file(picture: Picture, suffix: str = ".png", *, quality: int = 88) -> bytes:
    """Return a picture as the content of a .png or .jpg file.

    Raises:
        ValueError: the suffix is another.
    """
    kinds = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
    if suffix not in kinds:
        raise ValueError(f"pictures are {', '.join(kinds)}, not {suffix or 'without an ending'}")
    image = Image.fromarray(np.ascontiguousarray(picture))
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.LANCZOS)
    content = BytesIO()
    options = {"optimize": True} if kinds[suffix] == "PNG" else {"quality": quality, "progressive": True}
    image.save(content, kinds[suffix], **options)
    return content.getvalue()


def _cell(picture: Picture, crop: Box | None, width: int) -> Image.Image:
    """Return a picture at a width; with a crop, framed in it and enlarged below."""
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    whole = _resized(Image.fromarray(np.ascontiguousarray(picture)), width, height)
    if crop is None:
        return whole
    part = np.ascontiguousarray(crop.cut(picture))
    enlarged_height = round(width * crop.height * picture.shape[0] / (crop.width * picture.shape[1]))
    enlarged = _resized(Image.fromarray(part), width, max(1, enlarged_height))
    left, top, right, bottom = crop.edges(width, height)
    ImageDraw.Draw(whole).rectangle((left, top, right - 1, bottom - 1), outline=ACCENT, width=2)
    ImageDraw.Draw(enlarged).rectangle((0, 0, width - 1, enlarged.height - 1), outline=ACCENT, width=2)
    cell = Image.new("RGB", (width, height + GAP // 2 + enlarged.height), GROUND)
    cell.paste(whole, (0, 0))
    cell.paste(enlarged, (0, height + GAP // 2))
    return cell


def _resized(image: Image.Image, width: int, height: int) -> Image.Image:
    """Return an image of this size: enlarged by its pixels, with clean edges between them, or reduced smoothly."""
    enlarged = (image.width * max(1, -(-width // image.width)), image.height * max(1, -(-height // image.height)))
    by_pixels = image.resize(enlarged, Image.Resampling.NEAREST)
    return by_pixels.resize(
        (width, height), Image.Resampling.BOX if enlarged != image.size else Image.Resampling.LANCZOS
    )


def _lay_out(
    cells: Sequence[Sequence[Image.Image | None]],
    rows: Sequence[str],
    columns: Sequence[str],
    captions: Sequence[Sequence[str]],
    title: str,
) -> Picture:
    """Return cells in a grid with their words; a row is as high as its highest, a column as wide as its widest."""
    shape = (len(cells), max(map(len, cells), default=0))
    if 0 in shape or any(len(row) != shape[1] for row in cells):
        raise ValueError("a sheet needs pictures, as many in every row")
    if (rows and len(rows) != shape[0]) or (columns and len(columns) != shape[1]):
        raise ValueError(f"{len(rows)} and {len(columns)} headings do not match {shape[0]} rows and {shape[1]} columns")
    if captions and [len(row) for row in captions] != [shape[1]] * shape[0]:
        raise ValueError("every picture needs a caption")
    widths = [max((cell.width if cell else 0) for cell in column) or 1 for column in zip(*cells, strict=True)]
    heights = [max((cell.height if cell else 0) for cell in row) or 1 for row in cells]
    size = min(22, max(13, max(widths) // 20))
    line = round(size * 1.35)
    font, large = (ImageFont.load_default(points) for points in (size, line))  # ships with Pillow
    names = [_wrapped(name, font, 11 * size) for name in rows]
    gutter = 2 * GAP + max(round(font.getlength(part)) for name in names for part in name) if names else 0
    heads = [_wrapped(name, font, width) for name, width in zip(columns, widths, strict=False)]
    head_height = max(map(len, heads), default=0) * line + (GAP // 2 if heads else 0)
    total_width = gutter + sum(widths) + GAP * (shape[1] - 1) + 2 * MARGIN
    titles = _wrapped(title, large, total_width - 2 * MARGIN) if title else []
    top = MARGIN + len(titles) * round(line * 1.35) + (GAP if titles else 0)
    below = line if captions else 0
    total_height = top + head_height + sum(heights) + (below + 2 * GAP) * shape[0] - 2 * GAP + MARGIN

    sheet = Image.new("RGB", (total_width, total_height), GROUND)
    draw = ImageDraw.Draw(sheet)
    _write(draw, titles, (MARGIN, MARGIN), large, line=round(line * 1.35))
    lefts = [MARGIN + gutter + sum(widths[:column]) + GAP * column for column in range(shape[1])]
    for left, head in zip(lefts, heads, strict=False):
        _write(draw, head, (left, top + head_height - GAP // 2 - len(head) * line), font, line=line)
    top += head_height
    for row, height in enumerate(heights):
        _write(draw, names[row] if names else (), (MARGIN, top), font, line=line)
        for column, left in enumerate(lefts):
            cell = cells[row][column]
            if cell is not None:
                sheet.paste(cell, (left, top))
            if captions:
                caption = _wrapped(captions[row][column], font, widths[column])[:1]
                below_cell = top + (cell.height if cell else 0) + GAP // 2
                _write(draw, caption, (left, below_cell), font, line=line, colour=FAINT)
        top += height + below + 2 * GAP
    return np.asarray(sheet)


def _write(
    draw: ImageDraw.ImageDraw, lines: Sequence[str], place: tuple[int, int], font: Font, *, line: int, colour: str = INK
) -> None:
    """Write lines of text below one another."""
    for number, words in enumerate(lines):
        draw.text((place[0], place[1] + number * line), words, fill=colour, font=font)


def _wrapped(text: str, font: Font, width: int) -> list[str]:
    """Return text in lines no wider than this, words kept whole as far as they fit."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        lines[-1] = word
        while font.getlength(lines[-1]) > width and len(lines[-1]) > 1:
            fits = next(n for n in range(len(lines[-1]) - 1, 0, -1) if n == 1 or font.getlength(lines[-1][:n]) <= width)
            lines[-1:] = [lines[-1][:fits], lines[-1][fits:]]
    return lines
