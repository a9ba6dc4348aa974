"""Enhance frames in memory: arrays in, arrays out, no file written."""

import numpy as np

import venhancer

pipeline = venhancer.load_pipeline("nano")
frames = np.stack(list(venhancer.read_frames(venhancer.probe("in.mp4"))))  # uint8, RGB: frames, height, width, 3
frames = pipeline(frames, source_fps=8, scale=4, fps=24)
