"""Use a model folder as one of diffusers' pipelines: both ways to load it, a generator, a callback, output types."""

from pathlib import Path

import numpy as np
import torch
from diffusers import DiffusionPipeline

import venhancer

package = Path(venhancer.__file__).parent
folder = package / "nano"  # or any folder that save_pretrained, `venhancer train` or `venhancer weights` wrote

pipe = venhancer.VEnhancerPipeline.from_pretrained(folder)
same = DiffusionPipeline.from_pretrained(folder, custom_pipeline=str(package / "pipeline.py"), trust_remote_code=True)

frames = np.random.default_rng(0).integers(0, 255, (4, 24, 32, 3), np.uint8)  # RGB, or a list of PIL pictures
asked = {"source_fps": 8, "scale": 2, "fps": 16, "prompt": "a rabbit in a meadow"}


def watch(pipeline: DiffusionPipeline, step: int, timestep: float, kwargs: dict) -> dict:
    """Show every evaluation; raise an exception here to stop."""
    print(f"{type(pipeline).__name__}: step {step} at {timestep:g}, latents {tuple(kwargs['latents'].shape)}")
    return kwargs


video = pipe(
    frames, **asked, generator=torch.Generator().manual_seed(7), output_type="pil", callback_on_step_end=watch
).frames[0]
again = same(frames, **asked, seed=7, output_type="np").frames[0]
is_same = np.array_equal(np.stack(video), np.rint(again * 255))
print(f"{len(video)} pictures of {video[0].width}x{video[0].height}; both pipelines agree: {is_same}")
