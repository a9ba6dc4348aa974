"""Folders of files, one after the other."""
