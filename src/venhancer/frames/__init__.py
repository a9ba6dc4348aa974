"""Frames in memory: levels, motion, steadiness and colour."""
