"""Thousands of clips from one manifest, on any number of workers, with nothing lost; no torch at import."""
