"""ColorVideoVDP (Mantiuk et al. 2024): how different two films look to people, on a screen at its usual distance.

It knows contrast, colour, flicker and motion, and forgives nothing that the eye does not.
"""

from importlib import import_module
from typing import Any

import numpy as np
import torch

from venhancer.evaluation.metrics.metric import metric
from venhancer.frames.levels import Frames

DISPLAY = "standard_fhd"
RATE = 24
"""Frames a second at which clips are shown; metrics do not know their own."""


@metric(
    "visible difference (ColorVideoVDP): 10 is none, each point less is one step of quality",
    higher_is_better=True,
    unit="JOD",
    packages=("pycvvdp",),
)
def cvvdp(result: Frames, reference: Frames) -> float:
    """Return just-objectionable differences: 10 is no visible difference, 1 less is one step on a scale of quality."""
    package: Any = import_module("pycvvdp")  # pip install cvvdp
    judge = package.cvvdp(display_name=DISPLAY, device=torch.device("cpu"), quiet=True)
    films = (np.ascontiguousarray(film) for film in (result, reference))
    quality, _ = judge.predict(*films, dim_order="FHWC", frames_per_second=RATE)
    return float(quality)
