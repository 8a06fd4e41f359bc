"""training.overlap: equations 1 and 2, written out pixel by pixel."""

from itertools import product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from training.overlap import Overlap, room
from training.simulate.ptychography import sample
from training.simulate.raster import probe
from training.transform import centre, far_modulus

N, M = 24, 12
OFFSETS = np.array([(-2.0, -2.0), (-2.0, 2.0), (2.0, -2.0), (2.0, 2.0)])


def boxes(count: int = 4) -> torch.Tensor:
    """(1, count, M, M) of random numbers."""
    return torch.randn(1, count, M, M, dtype=torch.complex64, generator=torch.Generator().manual_seed(3))


def placed(box: NDArray[np.complexfloating], offset: NDArray[np.float64]) -> NDArray[np.complexfloating]:
    """T(offset, Pad(box)): every pixel shares its value among the four pixels around where it comes to lie."""
    canvas = np.zeros((N, N), box.dtype)
    for i, j in product(range(M), range(M)):
        row, column = N // 2 - M // 2 + i + offset[0], N // 2 - M // 2 + j + offset[1]
        for r, c in product(
            (int(np.floor(row)), int(np.floor(row)) + 1), (int(np.floor(column)), int(np.floor(column)) + 1)
        ):
            weight = (1 - abs(row - r)) * (1 - abs(column - c))
            if weight > 0 and 0 <= r < N and 0 <= c < N:
                canvas[r, c] += weight * box[i, j]
    return canvas


@pytest.mark.parametrize("offsets", [OFFSETS, np.array([(-2.7, 0.4), (1.2, -3.0), (0.0, 2.9), (1.5, -0.3)])])
def test_the_merged_object_is_that_of_equation_1(offsets: NDArray[np.float64]) -> None:
    """The sum of the moved boxes over the sum of moved ones, where there is any, also between pixels."""
    given = boxes()
    overlap = Overlap(torch.tensor(offsets, dtype=torch.float32)[None], N, M)
    found = overlap.merged(given)[0].numpy()
    total = sum(placed(box, offset) for box, offset in zip(given[0].numpy(), offsets, strict=True))
    cover = sum(placed(np.ones((M, M), complex), offset) for offset in offsets)
    known = np.abs(cover) > 1e-2
    np.testing.assert_allclose(found[known], (total[known] / cover[known]), atol=1e-5)  # of numbers of order 1
    assert not found[np.abs(cover) == 0].any()


def test_the_parts_are_those_of_equation_2() -> None:
    """T(mu - r_k, object) in the box: between pixels the mean of the neighbours by distance."""
    offsets = torch.tensor([[(-2.0, -2.0), (2.25, 0.0), (-0.25, 2.0)]])
    image = torch.randn(1, N, N, dtype=torch.complex64, generator=torch.Generator().manual_seed(5))
    found = Overlap(offsets, N, M).parts(image)[0]
    begin = N // 2 - M // 2
    torch.testing.assert_close(found[0], image[0, begin - 2 : begin - 2 + M, begin - 2 : begin - 2 + M])
    lower, upper = (image[0, begin + s : begin + s + M, begin : begin + M] for s in (2, 3))
    torch.testing.assert_close(found[1], 0.75 * lower + 0.25 * upper)


def cut(offsets: NDArray[np.float64]) -> torch.Tensor:
    """The boxes (1, 4, M, M) that frames at these offsets see of an object without any symmetry: O(x + r_k)."""
    obj = sample(48, np.random.default_rng(0))
    corners = (24 - M // 2 + offsets).astype(int)
    return torch.from_numpy(np.stack([obj[r : r + M, c : c + M] for r, c in corners]).astype(np.complex64))[None]


def test_the_patches_of_one_object_come_back_as_they_are() -> None:
    """They agree with each other already, and only with the offsets in this sign."""
    patches = cut(OFFSETS)
    offsets = torch.tensor(OFFSETS, dtype=torch.float32)[None]
    torch.testing.assert_close(Overlap(offsets, N, M).constrained(patches), patches, atol=1e-6, rtol=1e-5)
    wrong = Overlap(-offsets, N, M).constrained(patches)
    assert float((wrong - patches).abs().mean() / patches.abs().mean()) > 0.05


def test_the_object_around_the_centroid_lies_where_it_is() -> None:
    """The merged canvas is the object around mu, not its mirror image and not beside its place."""
    merged = Overlap(torch.tensor(OFFSETS, dtype=torch.float32)[None], N, M).merged(cut(OFFSETS))[0]
    obj = torch.from_numpy(sample(48, np.random.default_rng(0)).astype(np.complex64))
    torch.testing.assert_close(centre(merged, (M, M)), centre(obj, (M, M)), atol=1e-6, rtol=1e-5)


def test_no_energy_is_lost_on_the_way_to_the_detector() -> None:
    """Fd is unitary: the pattern holds what the exit wave held."""
    parts = Overlap(torch.tensor(OFFSETS, dtype=torch.float32)[None], N, M).constrained(boxes())
    waves = parts * centre(torch.from_numpy(probe("curved", N)), (M, M))
    far = far_modulus(waves, (N, N))
    torch.testing.assert_close(far.square().sum((2, 3)), waves.abs().square().sum((2, 3)))


def test_a_box_that_would_leave_its_canvas_is_refused() -> None:
    """What is lost there would be missing from the sum."""
    with pytest.raises(ValueError, match="7 pixels from the middle"):
        Overlap(torch.tensor([[(-7.0, 0.0), (7.0, 0.0)]]), N, M)


def test_boxes_count_by_their_weight_where_they_are_averaged() -> None:
    """Of the sum of weighted, moved boxes over that of moved weights; and there is room for boxes of any side."""
    offsets, given = np.array([(-2.7, 0.4), (1.2, -3.0), (0.0, 2.9), (1.5, -0.3)]), boxes()
    weight = torch.rand(M, M, generator=torch.Generator().manual_seed(1)) + 0.1
    places = torch.tensor(offsets, dtype=torch.float32)[None]
    assert room(places, M) == M + 6
    found = Overlap(places, N, M, weight).merged(given)[0].numpy()
    light = weight.numpy()
    total = sum(placed(light * box, offset) for box, offset in zip(given[0].numpy(), offsets, strict=True))
    cover = sum(placed(light.astype(complex), offset) for offset in offsets)
    known = np.abs(cover) > 1e-2
    np.testing.assert_allclose(found[known], total[known] / cover[known], atol=1e-5)  # of numbers of order 1
