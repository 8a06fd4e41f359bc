"""PtychoPINN beside PtychoNN, as in Hoidn et al. (2023); `python -m benchmarks.ptychopinn` writes the page."""
