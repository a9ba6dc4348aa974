"""What a long clip costs beyond its frames' share of one window, from plans alone.

    python benchmarks/long_flops.py [--plot FILE]

For each model and length: FLOPs of all windows, divided by the frames' share of one window of the model's default
length. The published program's windows share half of each; its layout is computed here from its rule, beside ours, by
the same count of FLOPs. Writes `results/long_flops.json` and the plot.
"""

import argparse
import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from PIL import Image

from venhancer.media.clip import describe_frames
from venhancer.model_files.traits import ModelTraits, load_traits
from venhancer.plan import make_plan
from venhancer.planning.estimate import network_flops
from venhancer.reports.plots import line_plot
from venhancer.settings import parse_settings

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results" / "long_flops.json"
PLOT = FOLDER.parent / "docs" / "images" / "long-flops.png"
MODELS, FACTORS = ("nano", "v1", "v2"), (1, 2, 3, 4, 8)
LENGTHS = (33, 49, 65, 97, 121, 161, 201, 241, 361, 481, 721, 1441, 2881, 14401)
FOCUS = 241
WIDTH, HEIGHT, RATE = 160, 90, 8


def main() -> None:
    """Count, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot", type=Path, default=PLOT, help="where the plot goes")
    arguments = parser.parse_args()
    found = {}
    for model in MODELS:
        traits = load_traits(model)
        found[model] = {str(f): {str(n): round(ours(traits, n, f), 4) for n in LENGTHS} for f in FACTORS}
    v2 = load_traits("v2")
    found["published"] = {
        str(factor): {str(n): round(overhead(v2, n, published_windows(n, factor), 32), 4) for n in LENGTHS}
        for factor in FACTORS
    }
    focus = {
        name: {factor: ratios[str(FOCUS)] for factor, ratios in by_factor.items()} for name, by_factor in found.items()
    }
    RESULTS.write_text(json.dumps({f"at {FOCUS} frames": focus, "ratios": found}, indent=1) + "\n")
    for name, by_factor in focus.items():
        print(f"{name:10s}", *(f"x{factor}: {ratio:.3f}" for factor, ratio in by_factor.items()))
    shown = [n for n in LENGTHS if n <= 721]
    lines = {name: [(n, found[name]["3"][str(n)]) for n in shown] for name in ("nano", "v2", "published")}
    plot = line_plot(
        lines | {"goal": [(shown[0], 1.15), (shown[-1], 1.15)]},
        title="Work over the frames' share of one window, three times the rate",
        across="output frames",
        upward="times",
    )
    Image.fromarray(plot).save(arguments.plot, optimize=True)


def ours(traits: ModelTraits, frames: int, factor: int) -> float:
    """Return the ratio of a plan with default settings, for an output of so many frames or a few more."""
    clip = describe_frames(-(-frames // factor), HEIGHT, WIDTH, Fraction(RATE))
    plan = make_plan(clip, parse_settings(scale=4, fps=RATE * factor), traits)
    windows = [window for segment in plan.segments for window in segment.windows]
    return overhead(traits, plan.frames, windows, plan.sampling.window_frames)


def overhead(traits: ModelTraits, frames: int, windows: Sequence[range], length: int) -> float:
    """Return the FLOPs of windows over the frames' share of one of this length."""
    height, width = 4 * HEIGHT // traits.pixels_per_latent, 4 * WIDTH // traits.pixels_per_latent

    def cost(frames: int) -> int:
        return network_flops(traits.network, frames, height, width, traits.text_tokens).total

    costs = {size: cost(size) for size in {*map(len, windows), length}}
    return sum(costs[len(window)] for window in windows) / (frames * costs[length] / length)


def published_windows(frames: int, factor: int) -> list[range]:
    """Return the published program's windows: about 32 frames, sharing half; the last takes what is left over."""
    length, shared = (most // factor * factor + 1 for most in (31, 15))
    if frames <= 32:
        return [range(frames)]
    windows, start = [], 0
    while frames - start > round(length * 4 / 3):
        windows.append(range(start, start + length))
        start += length - shared
    return [*windows, range(start, frames)]


if __name__ == "__main__":
    main()
