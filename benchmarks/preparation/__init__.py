"""How long a measurement takes to its grid, and a pattern to its answer, beside another checkout of this repository."""
