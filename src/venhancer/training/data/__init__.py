"""Footage to batches."""
