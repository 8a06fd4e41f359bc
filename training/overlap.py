"""What overlapping patterns have in common: the constraint map of Hoidn et al., Sci. Rep. 13:22789 (2023), eqs. 1, 2.

Frame k of a group sees psi_k(x) = P(x) O(x + r_k), as in inphase.ptycho.operator. A network draws O(x + r_k) on a box
in the middle of each window. The boxes of a group are put where they belong around mu, the mean of the r_k, and
averaged (eq. 1); each frame then gets its part of this one object back (eq. 2): one object must explain all frames.
"""

import math

import torch
from torch import Tensor

COVERED = 1e-3  # of a box: canvas pixels that boxes touch with less hold nothing
DIM = 1e-2  # of the strongest light: what a pixel in the dark counts more than nothing, so that every one has a value


def lines(shift: Tensor, canvas: int, box: int) -> Tensor:
    """(..., canvas, box): matrices that put lines of a box into the middle of a canvas, moved by shift (...) pixels.

    Linear interpolation between whole pixels; what leaves the canvas is lost. The transpose takes lines out again.
    """
    from_middle = torch.arange(canvas, device=shift.device) - canvas // 2
    to_middle = torch.arange(box, device=shift.device) - box // 2
    distance = from_middle[:, None] - to_middle - shift[..., None, None]
    return (1 - distance.abs()).clamp_min(0)


def room(offsets: Tensor, box: int) -> int:
    """Side of the smallest canvas that holds boxes of a side at these offsets (B, C, 2)."""
    return box + 2 * math.ceil(float(offsets.abs().max()))


class Overlap:
    """The places of groups of boxes (B, C, m, m) on canvases (B, N, N).

    offsets: (B, C, 2) pixels, r_k - mu. weight: (m, m), how much the pixels of a box count where boxes are averaged;
    None for all alike, as in the paper. Raises ValueError where a box would leave its canvas.
    """

    def __init__(self, offsets: Tensor, canvas: int, box: int, weight: Tensor | None = None) -> None:
        room = (canvas - box) / 2
        if float(offsets.abs().max()) > room:
            raise ValueError(
                f"a frame lies {float(offsets.abs().max()):.3g} pixels from the middle of its group, and canvases of "
                f"{canvas} pixels leave {room:g} to boxes of {box}"
            )
        self._rows, self._columns = (lines(offsets[..., axis], canvas, box) for axis in (0, 1))
        self._weight = self._rows.new_ones(box, box) if weight is None else weight
        cover = torch.einsum("bkum,mn,bkvn->buv", self._rows, self._weight, self._columns)
        self._cover = torch.where(cover > COVERED, cover, torch.inf)

    def merged(self, boxes: Tensor) -> Tensor:
        """Eq. 1: boxes (B, C, m, m) complex64 -> one object (B, N, N) around mu, 0 where no box reaches."""
        placed = torch.einsum(
            "bkum,bkmnc,bkvn->buvc", self._rows, torch.view_as_real(boxes * self._weight), self._columns
        )
        return torch.view_as_complex(placed.contiguous()) / self._cover

    def parts(self, merged: Tensor) -> Tensor:
        """Eq. 2 without the probe: the object (B, N, N) in each frame's box, (B, C, m, m)."""
        taken = torch.einsum("bkum,buvc,bkvn->bkmnc", self._rows, torch.view_as_real(merged), self._columns)
        return torch.view_as_complex(taken.contiguous())

    def constrained(self, boxes: Tensor) -> Tensor:
        """Fc: boxes (B, C, m, m) that agree where they overlap."""
        return self.parts(self.merged(boxes))
