"""Frames of other programs, which have no file."""
