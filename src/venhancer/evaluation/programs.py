"""Other programs, run without a shell, and their messages when they fail."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from venhancer.errors import JobFailed, SettingsError


def run_program(words: Sequence[object], content: bytes = b"", folder: Path | None = None) -> bytes:
    """Return what a program writes to its standard output; `content` is its input, `folder` where it runs.

    Raises:
        JobFailed: it cannot be run, or fails; the message ends with the last line that it wrote.
    """
    program, *arguments = map(str, words)
    try:
        run = subprocess.run([program, *arguments], cwd=folder, capture_output=True, check=False, input=content)
    except OSError as error:
        raise JobFailed(f"{program} cannot be run: {error.strerror}") from error
    if run.returncode != 0:
        lines = (run.stderr or run.stdout).decode(errors="replace").strip().splitlines()
        raise JobFailed(f"{program} ended with {run.returncode}: {lines[-1][:200] if lines else 'no message'}")
    return run.stdout


def run_ffmpeg(arguments: Sequence[object], content: bytes, folder: Path | None = None) -> bytes:
    """Return what FFmpeg, as `imageio-ffmpeg` ships it, makes of a content that it reads from "pipe:".

    Raises:
        SettingsError: `imageio-ffmpeg` is not installed.
        JobFailed: FFmpeg failed.
    """
    try:
        from imageio_ffmpeg import get_ffmpeg_exe  # pyright: ignore[reportMissingImports] - of the extra evaluate
    except ModuleNotFoundError as error:
        raise SettingsError("FFmpeg needs imageio-ffmpeg: run pip install 'venhancer[evaluate]'") from error
    return run_program([get_ffmpeg_exe(), "-v", "error", *arguments], content, folder)


def raw_source(frames: UInt8[np.ndarray, "f h w 3"], rate: int, file: str = "pipe:") -> list[str]:
    """Return FFmpeg's options for frames that it reads as plain bytes."""
    _, height, width, _ = frames.shape
    return ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-framerate", str(rate), "-i", file]
