"""Scans that are imaged while they are measured: how soon, how well, and whether the advice was right."""
