"""Recipes: which projections run, in which order, and how the support follows. `grammar` says how they are written.

3*(20*ER+160*HIO+20*ER) | SW(every=10,threshold=0.15,sigma=2..1)
"""

from inphase.retrieval.grammar import parse
from inphase.retrieval.terms import Recipe

__all__ = ["PRESETS", "PURPOSES", "parse", "resolve"]

# `autophasenn-600`, `fast` and `coarse` end with the same threshold, sigma and volume guards,
# so that their chi2 can be compared.
# `fast` starts from a prediction that is right but for its details: it lets go of little, draws the edges, and finds
# how coherent the light was (docs/decisions/0026, 0027), and takes off the stripes first (0028).
# `coarse` trusts its start less: most of its iterations run on the central half of the pattern,
# at an eighth of the cost; a
# few on three quarters and on the whole draw the facets (docs/decisions/0025). Either takes the time of some 60 ER
# iterations without shrink-wrap on one thread.
# `standard` and its longer kin: a loose support while RAAR and HIO form the object;
# once error reduction has evened out its
# amplitude, AF takes off the stripes that are left, and a threshold rises step by step to the crystal's edge (measured
# by benchmarks.retrieval).
# `standard` stops short of the edge: on both real crystals the free log-likelihood is best at 0.2 (0.3 is too tight for
# them).
# The papers name the iterations and what is special about them;
# the rest follows `autophasenn-600`, so that they compare.
PRESETS = {
    "autophasenn-600": "3*(20*ER+160*HIO+20*ER) | SW(every=10,threshold=0.15,sigma=2..1)",
    "cdinn-620": "3*(20*ER+180*HIO)+20*ER | SW(every=10,threshold=0.15,sigma=2..1) | AVERAGE(last=20)",
    "wu-600": "3*(20*ER+160*HIO+20*ER) | SW(every=10,start=100,threshold=0.15,sigma=2..1,within=0.5)",
    "standard": "200*RAAR+280*HIO+30*ER+AF+59*ER+30*AER | SW(threshold=0.15,sigma=2..1) | "
    "SW(start=510,threshold=0.15..0.2,sigma=1)",
    "strained": "3*(100*RAAR+150*HIO+30*ER)+AF+109*ER+50*AER | SW(threshold=0.15,sigma=2..1) | "
    "SW(start=850,threshold=0.2..0.3,sigma=1)",
    "thorough": "5*(100*RAAR+150*HIO+30*ER)+AF+139*ER+60*AER | SW(threshold=0.15,sigma=2..1) | "
    "SW(start=1410,threshold=0.2..0.3,sigma=1)",
    "fast": "AF+18*RAAR(beta=0.75)+6*ER+6*AER | SW(every=8,threshold=0.15,sigma=1) | PC(start=0,hold=10,kernel=gauss)",
    "coarse": "60*HIO+10*ER+8*HIO+14*RAAR+10*RAAR(beta=0.75)+6*AER | LOWRES(until=70,side=0.5,sigma=0.55) "
    "| LOWRES(until=92,side=0.75,sigma=0.45..0.65) | SW(threshold=0.2,sigma=0.7) | "
    "SW(start=93,every=6,threshold=0.15,sigma=1)",
}

# what people choose them by; the iterations are those of the recipe
PURPOSES = {
    "fast": "for the image of a good network (31 iterations)",
    "coarse": "for that of any other network, coarse first, then fine (108 iterations)",
    "standard": "for random starts (600 iterations)",
    "strained": "for random starts of strained crystals, or where few of them agree (1000 iterations)",
    "thorough": "for random starts when time does not matter (1600 iterations)",
    "autophasenn-600": "as in the AutoPhaseNN paper (600 iterations)",
    "cdinn-620": "as in the 3D-CDI-NN paper (620 iterations)",
    "wu-600": "as in Wu et al. 2021 (600 iterations)",
}


def resolve(text: str) -> Recipe:
    """The recipe of a preset's name or of a recipe string. RecipeError says what is wrong and where."""
    return parse(PRESETS.get(text.strip(), text))
