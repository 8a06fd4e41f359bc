"""Solvers: each advances object and probe by one look at every fitted frame."""
