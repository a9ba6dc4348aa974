"""What a key frame of the user's own does: is the picture kept, and how far does it spread?

The clip is enhanced twice: as it is, and with one frame of that result, repainted, as a key frame. Of frames around,
the share of the edit is what of it shows there: 1 where a frame has changed as the picture was, 0 where not at all.

Results are kept by model: nano, and the small diffusion model of `recipes/teacher.yaml`.

Run: python benchmarks/key_frame.py [--model nano] [--noise 0 150] [--output FILE]
"""

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

import venhancer
from venhancer.frames.levels import psnr
from venhancer.settings import parse_settings

CLIP = Path(__file__).parents[1] / "examples" / "meadow_160x90_8fps.mp4"
RESULTS = Path(__file__).parent / "results" / "key_frame.json"
FRAME, FACTOR, AROUND = 6, 3, 7
SETTINGS = {"scale": 2, "fps": 24, "end": "1.625", "codec": "ffv1", "pix_fmt": "bgr0"}


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--noise", type=int, nargs="+", default=[0, 150])
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    pipeline = venhancer.load_pipeline(given.model, device="cpu", dtype="fp32")
    rows = []
    with TemporaryDirectory() as folder:
        for noise in given.noise:
            rows.append({"noise_augmentation": noise, **measure(pipeline, Path(folder), noise)})
            print(rows[-1])
    results = json.loads(given.output.read_text()) if given.output.exists() else {}
    results[Path(given.model).name] = rows
    given.output.write_text(json.dumps(results, indent=2) + "\n")


def measure(pipeline: venhancer.VEnhancerPipeline, folder: Path, noise: int) -> dict:
    """Return how well the picture is kept, and its share in the output frames around it."""
    settings, place = parse_settings(**SETTINGS, noise_augmentation=noise), FRAME * FACTOR
    plain = enhanced(pipeline, folder / f"plain_{noise}.mkv", settings)
    picture = repainted(plain[place])
    path = folder / f"picture_{noise}.png"
    Image.fromarray(picture).save(path)
    own = enhanced(pipeline, folder / f"own_{noise}.mkv", settings, {FRAME: path})
    edit = picture.astype(float) - plain[place]
    changes = own.astype(float) - plain
    shares = (changes * edit).sum(axis=(1, 2, 3)) / (edit**2).sum()
    around = range(place - AROUND, place + AROUND + 1)
    return {
        "kept_db": round(psnr(own[place : place + 1], picture[None]), 1),
        "without_db": round(psnr(plain[place : place + 1], picture[None]), 1),
        "shares": {str(number - place): round(float(shares[number]), 2) for number in around},
    }


def repainted(frame: np.ndarray) -> np.ndarray:
    """Return a frame whose middle is tinted, with a pattern that the input does not have."""
    height, width, _ = frame.shape
    y, x = np.mgrid[0:height, 0:width]
    inside = ((y - height / 2) / (height / 4)) ** 2 + ((x - width / 2) / (width / 4)) ** 2 < 1
    tint = 0.5 * frame + 0.5 * np.array([230, 120, 40]) + 25 * np.sin(x / 3)[..., None]
    return np.where(inside[..., None], tint, frame).clip(0, 255).astype(np.uint8)


def enhanced(pipeline, target, settings, key_frames=None) -> np.ndarray:
    venhancer.enhance_video(CLIP, target, pipeline, settings, key_frames=key_frames or {})
    return np.stack(list(venhancer.read_frames(venhancer.probe(target))))


if __name__ == "__main__":
    main()
