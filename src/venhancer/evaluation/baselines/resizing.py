"""Resizing, with frames held, blended, or moved by FFmpeg in between: no learning."""

import numpy as np

from venhancer.evaluation.baselines.baseline import Request
from venhancer.evaluation.degrade import enlarge_and_hold, resize
from venhancer.evaluation.programs import raw_source, run_ffmpeg
from venhancer.frames.levels import Frames


def bicubic_repeat(request: Request) -> Frames:
    """Return frames enlarged with a bicubic kernel, each key frame held until the next."""
    still = enlarge_and_hold(request.key_frames, request.height, request.width, request.factor)
    return still[: request.frames]


def lanczos_blend(request: Request) -> Frames:
    """Return frames enlarged with a Lanczos kernel, those between as weighted means of the two key frames around."""
    large = resize(request.key_frames, request.height, request.width, "lanczos").astype(np.float32)
    times = np.arange(request.frames) / request.factor
    before = np.minimum(times.astype(int), len(large) - 1)
    after = np.minimum(before + 1, len(large) - 1)
    share = (times - before)[:, None, None, None].astype(np.float32)
    mixed = (large[one] * (1 - part) + large[two] * part for one, two, part in zip(before, after, share, strict=True))
    return np.stack([(frame + 0.5).astype(np.uint8) for frame in mixed])


def lanczos_minterpolate(request: Request) -> Frames:
    """Return frames from FFmpeg's motion-compensated interpolation, then enlarged with a Lanczos kernel.

    The filter looks a frame ahead and would leave out the last interval, so it is given the last key frame twice.

    Raises:
        SettingsError: `imageio-ffmpeg` is not installed.
        JobFailed: FFmpeg failed.
    """
    height, width = request.height, request.width
    if request.factor == 1:
        return resize(request.key_frames, height, width, "lanczos")
    interpolation = f"minterpolate=fps={request.factor}:mi_mode=mci:mc_mode=aobmc:me_mode=bidir:vsbmc=1:scd=none"
    filters = f"{interpolation},scale={width}:{height}:flags=lanczos+accurate_rnd+full_chroma_int"
    frames = np.concatenate([request.key_frames, request.key_frames[-1:]])
    target = ["-vf", f"format=yuv444p,{filters},format=rgb24", "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:"]
    output = run_ffmpeg([*raw_source(frames, 1), *target], frames.tobytes())
    return np.frombuffer(output, np.uint8).reshape(-1, height, width, 3)[: request.frames]
