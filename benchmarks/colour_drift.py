"""How far colours drift from the input's, with and without the colour fix, on the fixed clips of `cases.py`.

    python benchmarks/colour_drift.py [--models nano ...] [--frames 5]

Every clip is made four times smaller and enhanced back by the model. Prints a table and writes
`benchmarks/results/colour_drift.json`: mean distances in CIE L*a*b* between blocks of 8x8 pixels of the input and what
was made of them.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from cases import CASES, load_reference

from venhancer.evaluation.degrade import resize
from venhancer.evaluation.metrics.colour_drift import colour_drift
from venhancer.weights import load_pipeline

RESULTS = Path(__file__).parent / "results" / "colour_drift.json"
SCALE = 4
PACKAGES = Path("data/packages")


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=["nano"])
    parser.add_argument("--frames", type=int, default=5, help="of each clip")
    arguments = parser.parse_args()
    found = {}
    for model in arguments.models:
        pipeline = load_pipeline(model)
        for case in CASES:
            reference, _ = load_reference(case, frames=arguments.frames, multiple=2 * SCALE, packages=PACKAGES)
            height, width = (side // SCALE // 2 * 2 for side in reference.shape[1:3])
            source = resize(reference, height, width, "bicubic")
            for fix in ("none", "wavelet", "adain"):
                result = pipeline(source, source_fps=24, scale=SCALE, color_fix=fix)
                drift = colour_drift(result, source, 1)
                found.setdefault(model, {}).setdefault(fix, {})[case] = round(drift, 3)
                print(f"{model:8} {case:16} {fix:8} {drift:.3f}", flush=True)
    means = {
        model: {fix: float(np.mean([*of.values()])) for fix, of in fixes.items()} for model, fixes in found.items()
    }
    print(means)
    RESULTS.write_text(json.dumps({"clips": found, "means": means}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
