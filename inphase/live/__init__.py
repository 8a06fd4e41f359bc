"""Rocking curves that are still being measured: an unfinished curve as a measurement, the image so far, and advice."""
