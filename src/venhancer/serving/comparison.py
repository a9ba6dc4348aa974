"""What a finished job shows beside its result: before and after in one clip, stills, a motion strip, its seams.

The clip has the enlarged input above the result, both in 8-bit H.264 that every browser plays: one clip cannot get out
of step with itself, so what a page shows left and right of a slider is the same moment to the frame.
"""

import json
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from venhancer.durable import write_whole
from venhancer.evaluation.degrade import resize
from venhancer.evaluation.joins import judge_joins
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import FrameReader, in_eight_bits
from venhancer.media.writing.writer import write_video
from venhancer.media.writing.writing import Writing
from venhancer.plan import EnhancePlan
from venhancer.reports.sheets import busiest_box, contact_sheet, liveliest_row, motion_strips, save_picture
from venhancer.serving.record import AFTER, BEFORE, COMPARISON, REPORT, SEAMS, STILLS, STRIP

Pair = tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"]]

WIDEST = 960
LONGEST = 900
"""Frames that the clip holds; of longer results it shows the beginning."""

MOST_JUDGED = 240
"""Frames of a result whose seams are measured at once; longer ones are left to `venhancer seams`."""

STRIP_FRAMES, STILLS_AT = 240, (0.25, 0.5, 0.75)
CRF = 16


def make_comparison(plan: EnhancePlan, target: Path, folder: Path) -> None:
    """Write everything that shows what a job did into its folder; the report must lie there.

    Raises:
        VEnhancerError: the source or the result cannot be read any more, or something cannot be written.
    """
    width, height = shown_size(plan)
    strips: list[Pair] = []
    writing = Writing(width=width, height=2 * height, rate=plan.rate, crf=CRF)
    write_video(folder / COMPARISON, _stacked(plan, target, strips), writing, None)
    befores, afters = (np.stack(rows) for rows in zip(*strips, strict=True))
    save_picture(motion_strips({"before": befores, "after": afters}), folder / STRIP)
    pairs = [*_pairs(plan, target, [int(share * (plan.frames - 1)) for share in STILLS_AT], plan.width, plan.height)]
    crops = [busiest_box(after) for _, after in pairs]
    sheet = contact_sheet(pairs, columns=["before", "after"], crop=crops, cell_width=480)
    save_picture(sheet, folder / STILLS)
    for name, picture in zip((BEFORE, AFTER), pairs[1], strict=True):
        save_picture(picture, folder / name, quality=92)
    if plan.frames <= MOST_JUDGED and plan.frames > 1:
        verdict = judge_joins(target, plan.clip.path, folder / REPORT)
        write_whole(folder / SEAMS, json.dumps([*verdict.describe()]))


def shown_size(plan: EnhancePlan) -> tuple[int, int]:
    """Return width and height of each half of the clip: square pixels, even sides, at most `WIDEST`."""
    shown_width = float(plan.width * plan.sample_aspect_ratio)
    share = min(1.0, WIDEST / shown_width)
    return max(2, round(shown_width * share / 2) * 2), max(2, round(plan.height * share / 2) * 2)


def _stacked(plan: EnhancePlan, target: Path, strips: list[Pair]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Yield before above after; leaves the row of the motion strip in `strips`."""
    width, height = shown_size(plan)
    pairs = _pairs(plan, target, range(min(plan.frames, LONGEST)), width, height)
    begin = [*islice(pairs, 12)]
    row = int(liveliest_row(np.stack([after for _, after in begin])) * height)
    for number, (before, after) in enumerate(chain(begin, pairs)):
        if number < STRIP_FRAMES:
            strips.append((before[row : row + 1], after[row : row + 1]))
        yield np.concatenate([before, after])


def _pairs(plan: EnhancePlan, target: Path, numbers: range | list[int], width: int, height: int) -> Iterator[Pair]:
    """Yield output frames, each after the input frame it starts from, both at a size."""
    source, result = in_eight_bits(plan.clip), in_eight_bits(probe(target))
    with FrameReader(source, keep=2) as inputs, FrameReader(result, keep=2) as outputs:
        befores, afters = inputs.read([plan.source[number] for number in numbers]), outputs.read(list(numbers))
        for before, after in zip(befores, afters, strict=True):
            yield resize(before[None], height, width, "bicubic")[0], resize(after[None], height, width, "bicubic")[0]
