"""VMAF (Li et al. 2016), by the FFmpeg that ships inside `imageio-ffmpeg`."""

import json
import tempfile
from pathlib import Path

from venhancer.evaluation.metrics.metric import metric
from venhancer.evaluation.programs import raw_source, run_ffmpeg
from venhancer.frames.levels import Frames

_COLOURS = "scale=in_range=full:out_range=limited:out_color_matrix=bt709:flags=bicubic+accurate_rnd+full_chroma_int"


@metric(
    "Netflix's fusion of detail and motion, trained on viewers; contrast above the truth's raises it",
    higher_is_better=True,
    packages=("imageio_ffmpeg",),
)
def vmaf(result: Frames, reference: Frames) -> float:
    """Return VMAF with its default model, 0 to 100: the mean over frames.

    Both clips go through pipes and files as they are, and are made 8-bit 4:2:0 alike, for which the model was made.

    Raises:
        SettingsError: `imageio-ffmpeg` is not installed.
        JobFailed: FFmpeg failed.
    """
    alike = f"{_COLOURS},format=yuv420p"
    graph = f"[0]{alike}[a];[1]{alike}[b];[a][b]libvmaf=log_fmt=json:log_path=scores.json:n_threads=1"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "reference.rgb").write_bytes(reference.tobytes())
        inputs = [*raw_source(result, 25), *raw_source(reference, 25, "reference.rgb")]
        run_ffmpeg([*inputs, "-lavfi", graph, "-f", "null", "-"], result.tobytes(), folder)
        scores = json.loads((folder / "scores.json").read_text())
    return float(scores["pooled_metrics"]["vmaf"]["mean"])
