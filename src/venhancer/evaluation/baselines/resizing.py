"""Resizing, with frames held, blended, or moved by FFmpeg in between: no learning."""

import subprocess

import numpy as np
from jaxtyping import UInt8

from venhancer.errors import JobFailed, SettingsError
from venhancer.evaluation.baselines.baseline import Clip, Job
from venhancer.evaluation.degrade import resize


def bicubic_repeat(job: Job) -> Clip:
    """Return frames enlarged with a bicubic kernel, each key frame held until the next."""
    large = resize(job.key_frames, job.height, job.width, "bicubic")
    return np.repeat(large, job.factor, axis=0)[: job.frames]


def lanczos_blend(job: Job) -> Clip:
    """Return frames enlarged with a Lanczos kernel, those between as weighted means of the two key frames around."""
    large = resize(job.key_frames, job.height, job.width, "lanczos").astype(np.float32)
    times = np.arange(job.frames) / job.factor
    before = np.minimum(times.astype(int), len(large) - 1)
    after = np.minimum(before + 1, len(large) - 1)
    share = (times - before)[:, None, None, None].astype(np.float32)
    mixed = (large[one] * (1 - part) + large[two] * part for one, two, part in zip(before, after, share, strict=True))
    return np.stack([(frame + 0.5).astype(np.uint8) for frame in mixed])


def lanczos_minterpolate(job: Job) -> Clip:
    """Return frames from FFmpeg's motion-compensated interpolation, then enlarged with a Lanczos kernel.

    The filter looks a frame ahead and would leave out the last interval, so it is given the last key frame twice.

    Raises:
        SettingsError: `imageio-ffmpeg` is not installed.
        JobFailed: FFmpeg failed.
    """
    if job.factor == 1:
        return resize(job.key_frames, job.height, job.width, "lanczos")
    try:
        from imageio_ffmpeg import get_ffmpeg_exe  # pyright: ignore[reportMissingImports] - of the extra evaluate
    except ModuleNotFoundError as error:
        raise SettingsError("minterpolate needs imageio-ffmpeg: run pip install 'venhancer[evaluate]'") from error
    _, height, width, _ = job.key_frames.shape
    interpolation = f"minterpolate=fps={job.factor}:mi_mode=mci:mc_mode=aobmc:me_mode=bidir:vsbmc=1:scd=none"
    filters = f"{interpolation},scale={job.width}:{job.height}:flags=lanczos+accurate_rnd+full_chroma_int"
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24"]
    source = [*raw, "-s", f"{width}x{height}", "-framerate", "1", "-i", "pipe:"]
    command = [get_ffmpeg_exe(), "-v", "error", *source, "-vf", f"format=yuv444p,{filters},format=rgb24", *raw, "pipe:"]
    return _run(command, np.concatenate([job.key_frames, job.key_frames[-1:]]), job)


def _run(command: list[str], frames: UInt8[np.ndarray, "k h w 3"], job: Job) -> Clip:
    done = subprocess.run(command, input=frames.tobytes(), capture_output=True, check=False)
    if done.returncode != 0:
        raise JobFailed(f"FFmpeg failed: {' '.join(done.stderr.decode(errors='replace').split())[-200:]}")
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, job.height, job.width, 3)[: job.frames]
