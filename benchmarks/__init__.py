"""Side-by-side comparisons; every table in results/ is written by one command of this package,
or by `inphase-train evaluate`.
"""

from pathlib import Path

ROOT = Path(__file__).parents[1]  # of the checkout
