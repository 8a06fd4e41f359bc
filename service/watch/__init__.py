"""Folders into which measurements are written, and what was done with each."""
