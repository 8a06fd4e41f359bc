"""The claims of Wu et al., IUCrJ 8, 12 (2021), measured on our network; `python -m benchmarks.wu2d` writes the page."""
