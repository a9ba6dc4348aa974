"""VMAF (Li et al. 2016), by the FFmpeg that ships inside `imageio-ffmpeg`."""

import json
import subprocess
import tempfile
from pathlib import Path

from venhancer.errors import JobFailed, SettingsError
from venhancer.evaluation.metrics.metric import Clip, Metric

_COLOURS = "scale=in_range=full:out_range=limited:out_color_matrix=bt709:flags=bicubic+accurate_rnd+full_chroma_int"


def vmaf(result: Clip, reference: Clip) -> float:
    """Return VMAF with its default model, 0 to 100: the mean over frames.

    Both clips go through pipes and files as they are, and are made 8-bit 4:2:0 alike, for which the model was made.

    Raises:
        SettingsError: `imageio-ffmpeg` is not installed.
        JobFailed: FFmpeg failed.
    """
    try:
        from imageio_ffmpeg import get_ffmpeg_exe  # pyright: ignore[reportMissingImports] - of the extra evaluate
    except ModuleNotFoundError as error:
        raise SettingsError("vmaf needs imageio-ffmpeg: run pip install 'venhancer[evaluate]'") from error
    _, height, width, _ = result.shape
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-framerate", "25"]
    alike = f"{_COLOURS},format=yuv420p"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "reference.rgb").write_bytes(reference.tobytes())
        graph = f"[0]{alike}[a];[1]{alike}[b];[a][b]libvmaf=log_fmt=json:log_path=scores.json:n_threads=1"
        inputs = [*raw, "-i", "pipe:", *raw, "-i", "reference.rgb"]
        command = [get_ffmpeg_exe(), "-v", "error", *inputs, "-lavfi", graph, "-f", "null", "-"]
        done = subprocess.run(command, input=result.tobytes(), cwd=folder, capture_output=True, check=False)
        if done.returncode != 0:
            raise JobFailed(f"FFmpeg could not measure VMAF: {_last_line(done.stderr)}")
        scores = json.loads((Path(folder) / "scores.json").read_text())
    return float(scores["pooled_metrics"]["vmaf"]["mean"])


def _last_line(told: bytes) -> str:
    return told.decode(errors="replace").strip().splitlines()[-1] if told.strip() else "it said nothing"


METRIC = Metric(
    name="vmaf",
    measure=vmaf,
    takes=("result", "reference"),
    what="Netflix's fusion of detail and motion, trained on viewers; contrast above the truth's raises it",
    higher_is_better=True,
    packages=("imageio_ffmpeg",),
)
