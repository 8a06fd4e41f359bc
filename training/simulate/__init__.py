"""Simulated crystals, what a detector makes of them, and whole raw rocking curves."""
