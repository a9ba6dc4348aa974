"""The work on one target, kept beside it so that it can be resumed."""
