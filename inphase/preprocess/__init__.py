"""From a raw rocking curve to a pattern on the model grid:
one small function per step, a recipe that names them, a way back.
"""

from inphase.preprocess.corrections import Corrections
from inphase.preprocess.pipeline import Prepared, preprocess
from inphase.preprocess.placement import Placement
from inphase.preprocess.recipe import PRESETS, PreprocessRecipe, preset
from inphase.preprocess.report import StepReport
from inphase.preprocess.validate import pattern_from_array

__all__ = [
    "PRESETS",
    "Corrections",
    "Placement",
    "Prepared",
    "PreprocessRecipe",
    "StepReport",
    "pattern_from_array",
    "preprocess",
    "preset",
]
