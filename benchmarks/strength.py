"""What noise augmentation does to the embedded model's results: on damaged, on flickering and on grey input.

    python benchmarks/strength.py [--flickering FOLDER]

Damaged: two clips of `cases.py`, four times smaller, with noise and H.264, at every strength. Flickering: clips of
generated video in a folder, refined at their own size and rate. Grey: a clip without its colours. Prints tables and
writes `benchmarks/results/strength.json` and, of the first clip, `docs/images/strength.jpg`.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from cases import load_reference

from venhancer.evaluation.degrade import Degradation
from venhancer.evaluation.metrics.registry import metric_named
from venhancer.frames.levels import Frames, psnr
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import read_frames
from venhancer.pipeline import VEnhancerPipeline
from venhancer.reports.sheets import Box, contact_sheet, save_picture
from venhancer.weights import load_pipeline

ROOT = Path(__file__).parents[1]
STRENGTHS = (0, 75, 150, 225, 300)
CASES, SCALE, FRAMES, SIDE = ("bunny-473s", "street"), 4, 9, 256
DAMAGE = Degradation(scale=SCALE, factor=1, noise=3, crf=28)


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano", help="name or folder")
    parser.add_argument("--flickering", type=Path, help="folder of clips")
    parser.add_argument("--packages", type=Path, default=Path("data/packages"), help="where packages are kept")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    pipeline = load_pipeline(arguments.model)
    found = {"damaged": damaged(pipeline, arguments.packages), "grey": grey(pipeline, arguments.packages)}
    if arguments.flickering is not None:
        found["flickering"] = flickering(pipeline, arguments.flickering)
    file = ROOT / "benchmarks" / "results" / "strength.json"
    file.write_text(json.dumps(found, indent=1) + "\n")
    print(f"wrote {file}")


def damaged(pipeline: VEnhancerPipeline, packages: Path) -> dict[str, dict[str, float]]:
    """Return means over the clips by strength, and save the picture."""
    rows: list[list[Frames]] = []
    scores: dict[int, list[tuple[float, ...]]] = {strength: [] for strength in STRENGTHS}
    st_lpips, flicker = metric_named("st_lpips"), metric_named("temporal_flicker")
    for case in CASES:
        truth = middle(load_reference(case, frames=FRAMES, multiple=2 * SCALE, packages=packages)[0])
        source = DAMAGE.apply(truth)
        shown = [source[FRAMES // 2]]
        for strength in STRENGTHS:
            result = pipeline(source, source_fps=24, scale=SCALE, noise_augmentation=strength, shots=False)
            small = Degradation(scale=SCALE, factor=1).apply(result)
            scores[strength].append(
                (psnr(small, source), psnr(result, truth), st_lpips.measure(result, truth), flicker.measure(result))
            )
            shown.append(result[FRAMES // 2])
        rows.append([*shown, truth[FRAMES // 2]])
    columns = ["input", *(f"noise augmentation {strength}" for strength in STRENGTHS), "truth"]
    sheet = contact_sheet(rows, columns=columns, crop=Box(0.36, 0.36, 0.28, 0.28), cell_width=288)
    save_picture(sheet, ROOT / "docs" / "images" / "strength.jpg")
    names = ("psnr_of_input", "psnr", "st_lpips", "flicker")
    return table("damaged", names, {str(strength): scores[strength] for strength in STRENGTHS})


def flickering(pipeline: VEnhancerPipeline, folder: Path) -> dict[str, dict[str, float]]:
    """Return flicker over the input's, and how alike input and result are, by strength; means over clips."""
    flicker, ssim = metric_named("temporal_flicker"), metric_named("ssim")
    scores: dict[int, list[tuple[float, ...]]] = {strength: [] for strength in STRENGTHS}
    for path in sorted(folder.iterdir()):
        clip = probe(path)
        source = np.stack(list(read_frames(clip, 0, FRAMES)))
        own = flicker.measure(source)
        for strength in STRENGTHS:
            result = pipeline(source, source_fps=clip.rate, scale=1, noise_augmentation=strength, shots=False)
            scores[strength].append((flicker.measure(result) / own, ssim.measure(result, source)))
    names = ("flicker_of_input", "ssim_with_input")
    return table("flickering", names, {str(strength): scores[strength] for strength in STRENGTHS})


def grey(pipeline: VEnhancerPipeline, packages: Path) -> dict[str, dict[str, float]]:
    """Return how much colour a clip gets that has none, at the ends of the scale."""
    colour = metric_named("stray_colour")
    truth = middle(load_reference(CASES[1], frames=FRAMES, multiple=2 * SCALE, packages=packages)[0])
    truth = np.repeat(truth.mean(axis=-1, keepdims=True).round().astype(np.uint8), 3, axis=-1)
    source = Degradation(scale=SCALE, factor=1).apply(truth)
    results = {s: pipeline(source, source_fps=24, scale=SCALE, noise_augmentation=s, shots=False) for s in (0, 300)}
    return table("grey", ("levels",), {str(s): [(colour.measure(result, truth),)] for s, result in results.items()})


def middle(frames: Frames) -> Frames:
    """Return the middle square of a clip, as large as allowed."""
    height, width = frames.shape[1:3]
    side = min(height, width, SIDE) // (2 * SCALE) * 2 * SCALE
    top, left = (height - side) // 2, (width - side) // 2
    return frames[:, top : top + side, left : left + side]


def table(
    title: str, names: tuple[str, ...], scores: dict[str, list[tuple[float, ...]]]
) -> dict[str, dict[str, float]]:
    """Print means by row and return them."""
    means = {
        row: dict(zip(names, np.mean(each, axis=0).round(4).tolist(), strict=True)) for row, each in scores.items()
    }
    print(title, *names)
    for row, values in means.items():
        print(f"{row:>6}", *values.values(), flush=True)
    return means


if __name__ == "__main__":
    main()
