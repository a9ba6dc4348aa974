"""Small pictures in every codec: encoders keep within their memory, and every frame comes back at its size.

An encoder that writes beyond its memory ends the process, but not every time; where the C library can check each block
that is freed (glibc), it does so here.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKED = "libc_malloc_debug.so.0"  # of glibc 2.34 and later
FRAMES = 12
SIZES = "16x16 18x80 24x34 32x32 40x46 48x42 48x64 80x16"
WRITE = """
import sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import read_frames
from venhancer.media.writing.writer import write_video
from venhancer.media.writing.writing import Writing

target, codec, pixel_format, frames, sizes = Path(sys.argv[1]), *sys.argv[2:4], int(sys.argv[4]), sys.argv[5].split()
noise = np.random.default_rng(0)
for width, height in (map(int, size.split("x")) for size in sizes):
    writing = Writing(width=width, height=height, rate=Fraction(30), codec=codec, pixel_format=pixel_format)
    shown = (noise.integers(0, 65536, (height, width, 3), dtype=np.uint16) for _ in range(frames))
    clip = probe(write_video(target, shown, writing, None))
    assert [frame.shape for frame in read_frames(clip)] == [(height, width, 3)] * frames
"""


@pytest.mark.parametrize(
    ("target", "codec", "pixel_format"),
    [
        ("a.mp4", "h264", "yuv420p"),
        ("a.mp4", "hevc", "yuv420p"),
        ("a.mp4", "hevc", "yuv420p10le"),
        ("a.mp4", "av1", "yuv420p10le"),
        ("a.webm", "vp9", "yuv420p"),
        ("a.mov", "prores", "yuv422p10le"),
        ("a.mkv", "ffv1", "gbrp16le"),
        ("a.webp", "webp", "yuv420p"),
        ("a.gif", "gif", "pal8"),
    ],
)
def test_small_pictures_come_back_whole(tmp_path, target, codec, pixel_format):
    command = [sys.executable, "-c", WRITE, tmp_path / target, codec, pixel_format, str(FRAMES), SIZES]
    checks = {"LD_PRELOAD": CHECKED, "MALLOC_CHECK_": "3"} if _checks_memory() else {}
    child = subprocess.run(command, env={**os.environ, **checks}, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    assert [path.name for path in tmp_path.iterdir()] == [target]


def _checks_memory() -> bool:
    return any((folder / CHECKED).exists() for folder in (Path("/lib64"), *Path("/lib").glob("*-linux-gnu")))
