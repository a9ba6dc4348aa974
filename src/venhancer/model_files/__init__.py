"""Model folders on disk, without torch."""
