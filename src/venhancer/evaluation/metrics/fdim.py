"""FDIM (Wang et al. 2026): a deep measure of films against the truth, run as a program in an environment of its own."""

import re
import tempfile
from fractions import Fraction
from pathlib import Path

from venhancer.errors import JobFailed
from venhancer.evaluation.lossless import write_lossless
from venhancer.evaluation.metrics.metric import metric
from venhancer.evaluation.programs import run_program
from venhancer.frames.levels import Frames

_SCORE = re.compile(r"video score is : (-?\d+(?:\.\d+)?(?:e[-+]?\d+)?)")


@metric("deep measure of films (FDIM), trained on what codecs do to them", higher_is_better=True)
def fdim(result: Frames, reference: Frames, rate: Fraction, weights: Path) -> float:
    """Return what the program `fdim single` says; `weights` is the program in its own environment.

    Raises:
        JobFailed: it failed, or says nothing of a score.
    """
    with tempfile.TemporaryDirectory(prefix="venhancer-") as name:
        folder = Path(name)
        files = {"--ref": folder / "reference.mp4", "--dis": folder / "result.mp4"}
        for file, frames in zip(files.values(), (reference, result), strict=True):
            write_lossless(file, frames, rate)
        words = [word for pair in files.items() for word in pair]
        said = run_program([weights, "single", *words, "--video_temp_path", folder], folder=folder).decode()
    scores = _SCORE.findall(said)
    if not scores:
        raise JobFailed(f"{weights} said nothing of a score: {' '.join(said.split())[-150:]}")
    return float(scores[-1])
