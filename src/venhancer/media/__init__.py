"""Video files in and out: what a clip is, its frames, and the finished file."""
