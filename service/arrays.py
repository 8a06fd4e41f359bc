"""Names of a result's arrays, for those who need no more than that."""

from typing import Final

MAPS: Final = ("displacement", "strain", "strain_with_ramp", "d_spacing")  # what a known geometry adds
