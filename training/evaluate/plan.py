"""Which ways to an image are compared: all with the same preprocessing, mask, free voxels and shrink-wrap settings."""

from dataclasses import dataclass

from inphase.imaging.options import FAST
from inphase.trust import RULES

ER = "50*ER"  # the refinement of the AutoPhaseNN paper


@dataclass(frozen=True)
class Plan:
    """What is run on every pattern. Recipes are presets or recipe strings.

    refine: from the network's start. conventional: from `starts` random ones, its free log-likelihood sampled every
    `sampled` iterations. alone: error reduction by itself, for the convergence figure.
    """

    refine: str = FAST
    conventional: str = "autophasenn-600"  # the words of the papers, and of every earlier comparison
    starts: int = RULES.random_starts
    sampled: int = 100
    alone: str = "600*ER"
