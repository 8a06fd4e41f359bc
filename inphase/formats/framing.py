"""How the filters of HDF5 frame what bitshuffle and LZ4 have packed; Dectris' streams frame it alike."""

from struct import Struct
from typing import Final

HEAD: Final = Struct(">QI")  # bytes of all, bytes of a block
LENGTH: Final = Struct(">I")  # bytes of a block as it is stored
MULTIPLE: Final = 8  # elements: bits are shuffled in such groups, and what is left over is stored as it is
BLOCK: Final = 8192  # bytes, where the head leaves it open
