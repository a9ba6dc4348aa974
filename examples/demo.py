"""Enhance the clip that ships with the repository with the embedded model, and show input and output side by side.

Run by `make demo`. The clip is 2 seconds of a shot of Big Buck Bunny that the model was not trained on
(docs/credits.md), at 160x90 and 8 frames a second; the result has 640x360 and 24.
"""

import resource
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

import venhancer
from venhancer.media.probe import probe
from venhancer.media.reader import read_frames
from venhancer.settings import parse_settings

HERE = Path(__file__).parent
SOURCE = HERE / "meadow_160x90_8fps.mp4"
OUTPUT = HERE.parent / "demo"
SHOWN = (42, 43)  # a key frame, and the frame made after it from nothing


def main() -> None:
    """Enhance, and print where the results are and what they took."""
    OUTPUT.mkdir(exist_ok=True)
    target = OUTPUT / "meadow_640x360_24fps.mp4"
    started = time.monotonic()
    settings = parse_settings(scale=4, fps=24, prompt="a rabbit in a meadow")
    print(f"enhancing {SOURCE.name} (160x90, 8 fps) to 640x360, 24 fps with the embedded model ...")
    report = venhancer.enhance_video(SOURCE, target, venhancer.load_pipeline("nano"), settings, overwrite=True)
    picture = save_png(side_by_side(SOURCE, target, report.plan.source), OUTPUT / "side_by_side.png")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"video:   {target}")
    print(f"picture: {picture} (left: the input, enlarged; right: the result)")
    print(
        f"took:    {time.monotonic() - started:.0f} s for {report.plan.frames} frames, {peak:.1f} GB of memory at most"
    )


def side_by_side(source: Path, target: Path, shown_from: tuple[int, ...]) -> np.ndarray:
    """Return some output frames, each beside the input frame on screen at that time, enlarged by its pixels."""
    before, after = (list(read_frames(probe(path))) for path in (source, target))
    rows = []
    for index in SHOWN:
        scale = after[index].shape[0] // before[0].shape[0]
        enlarged = before[shown_from[index]].repeat(scale, axis=0).repeat(scale, axis=1)
        rows.append(np.concatenate([enlarged, after[index]], axis=1))
    return np.concatenate(rows, axis=0)


def save_png(picture: np.ndarray, path: Path) -> Path:
    """Write an RGB picture and return its path."""
    encoder = av.CodecContext.create("png", "w")
    encoder.height, encoder.width = picture.shape[:2]
    encoder.pix_fmt, encoder.time_base = "rgb24", Fraction(1)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    path.write_bytes(b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)]))
    return path


if __name__ == "__main__":
    main()
