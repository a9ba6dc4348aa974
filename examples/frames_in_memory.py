"""Enhance frames in memory: arrays in, arrays out, no file written."""

from pathlib import Path

import numpy as np

import venhancer
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import read_frames

pipeline = venhancer.load_pipeline("nano")
frames = np.stack(list(read_frames(probe(Path("in.mp4")))))  # or any uint8 RGB array: frames, height, width, 3
frames = pipeline(frames, source_fps=8, scale=4, fps=24)
