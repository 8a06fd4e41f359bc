"""The way of one pattern from counts to an image: prepare, predict, choose the start, refine,
judge (`inphase.imaging.way`).
"""
