"""VBench's six dimensions for any clip, by VBench itself in an environment of its own; nothing of it is imported.

`weights` is the interpreter of that environment. VBench fetches the networks it lacks by itself.
"""

import json
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

from venhancer.errors import JobFailed
from venhancer.evaluation.lossless import write_lossless
from venhancer.evaluation.metrics.metric import Metric, metric
from venhancer.evaluation.programs import run_program
from venhancer.frames.levels import Frames

_WHERE = "import importlib.util as u; print(u.find_spec('vbench').origin)"


def run_vbench(python: Path, videos: Path, dimension: str, folder: Path, *, mode: str) -> dict[str, Any]:
    """Return what VBench's file of results says of videos.

    Args:
        python: the interpreter of VBench's environment.
        videos: a folder of videos or, with the mode "custom_input", one video.
        dimension: VBench's name.
        folder: where VBench writes.
        mode: "vbench_standard" for its suite of prompts, "custom_input" for any videos.

    Raises:
        JobFailed: VBench failed, or wrote no results.
    """
    folder.mkdir(parents=True, exist_ok=True)
    launch = Path(run_program([python, "-c", _WHERE]).decode().strip()).parent / "launch" / "evaluate.py"
    start = [python, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 1, launch]
    run_program([*start, "--videos_path", videos, "--dimension", dimension, "--output_path", folder, "--mode", mode])
    results = sorted(folder.glob("*_eval_results.json"), key=lambda file: file.stat().st_mtime)
    if not results:
        raise JobFailed(f"VBench wrote no results of {dimension} into {folder}; run it by hand to see why")
    return json.loads(results[-1].read_text(encoding="utf-8"))


def _dimension(dimension: str, what: str) -> Metric:
    def measure(result: Frames, rate: Fraction, weights: Path) -> float:
        with tempfile.TemporaryDirectory(prefix="venhancer-") as name:
            clip = Path(name) / "clip.mp4"
            write_lossless(clip, result, rate)
            found = run_vbench(weights, clip, dimension, Path(name) / "results", mode="custom_input")
        return float(found[dimension][0])

    measure.__name__ = f"vbench_{dimension}"
    named: Callable[..., Metric] = metric(f"VBench's {what}", higher_is_better=True, weights_of="vbench")
    return named(measure)


subject_consistency = _dimension("subject_consistency", "likeness of the subject between frames (DINO)")
background_consistency = _dimension("background_consistency", "likeness of the scene between frames (CLIP)")
motion_smoothness = _dimension("motion_smoothness", "nearness of frames to interpolated ones (AMT)")
dynamic_degree = _dimension("dynamic_degree", "presence of large motion (RAFT)")
aesthetic = _dimension("aesthetic_quality", "aesthetic quality (CLIP and LAION's predictor)")
imaging = _dimension("imaging_quality", "imaging quality (MUSIQ, SPAQ)")
