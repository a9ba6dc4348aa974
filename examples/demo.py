"""Enhance the clip that ships with the repository with the embedded model, and show input and output side by side.

Run by `make demo`. The clip is 2 seconds of a shot of Big Buck Bunny that the model was not trained on
(docs/credits.md), at 160x90 and 8 frames a second; the result has 640x360 and 24.
"""

import resource
import time
from pathlib import Path

import numpy as np

import venhancer
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import read_frames
from venhancer.reports.sheets import Box, contact_sheet, save_picture
from venhancer.settings import parse_settings

HERE = Path(__file__).parent
SOURCE = HERE / "meadow_160x90_8fps.mp4"
OUTPUT = HERE.parent / "demo"
SHOWN = (21, 22)  # a key frame, and the frame made after it from nothing


def main() -> None:
    """Enhance, and print where the results are and what they took."""
    OUTPUT.mkdir(exist_ok=True)
    target = OUTPUT / "meadow_640x360_24fps.mp4"
    started = time.monotonic()
    settings = parse_settings(scale=4, fps=24, prompt="a rabbit in a meadow")
    print(f"enhancing {SOURCE.name} (160x90, 8 fps) to 640x360, 24 fps with the embedded model ...")
    report = venhancer.enhance_video(SOURCE, target, venhancer.load_pipeline("nano"), settings, overwrite=True)
    picture = save_picture(side_by_side(SOURCE, target, report.plan.source), OUTPUT / "side_by_side.png")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"video:   {target}")
    print(f"picture: {picture} (left: the input, enlarged; right: the result)")
    print(
        f"took:    {time.monotonic() - started:.0f} s for {report.plan.frames} frames, {peak:.1f} GB of memory at most"
    )


def side_by_side(source: Path, target: Path, shown_from: tuple[int, ...]) -> np.ndarray:
    """Return some output frames, each beside the input frame on screen at that time, and a part of both enlarged."""
    before, after = (np.stack(list(read_frames(probe(path)))) for path in (source, target))
    pictures = [[before[shown_from[index]], after[index]] for index in SHOWN]
    return contact_sheet(
        pictures,
        rows=["a key frame", "a frame between"],
        columns=["input: 160x90, 8 frames a second", "result: 640x360, 24 frames a second"],
        crop=Box(0.2, 0.18, 0.42, 0.42),
        cell_width=480,
    )


if __name__ == "__main__":
    main()
