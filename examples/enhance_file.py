"""Enhance a file: `in.mp4` in the current folder becomes `out.mp4`, four times the size, at 24 frames a second."""

from pathlib import Path

import venhancer

pipeline = venhancer.load_pipeline("nano")
settings = venhancer.EnhanceSettings(scale=4, fps=24, prompt="a rabbit in a meadow")
report = venhancer.enhance_video(Path("in.mp4"), Path("out.mp4"), pipeline, settings)
