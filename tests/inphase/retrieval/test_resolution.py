"""inphase.retrieval.resolution, and recipes that begin on a smaller grid, against the same done by hand."""

import numpy as np
import pytest
import torch

from inphase.errors import DataError
from inphase.fourier import backward, forward
from inphase.pattern import MaskState
from inphase.retrieval.engine import retrieve
from inphase.retrieval.problem import Problem
from inphase.retrieval.recipe import parse
from inphase.retrieval.resolution import coarser, cropped, finer, padded
from inphase.retrieval.starts import Starts
from inphase.retrieval.terms import Recipe

SHAPE = (8, 12, 16)
DIMS = (1, 2, 3)


def centre(array: np.ndarray, factor: int) -> np.ndarray:
    """The central part of the last three axes of a centred array."""
    sides = array.shape[-3:]
    return array[(..., *(slice(n // 2 - n // factor // 2, n // 2 + n // factor // 2) for n in sides))]


def around(array: np.ndarray, factor: int) -> np.ndarray:
    """Zeros around a centred array."""
    result = np.zeros((*array.shape[:-3], *(n * factor for n in array.shape[-3:])), array.dtype)
    centre(result, factor)[...] = array
    return result


def uncentred(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.fft.ifftshift(array, axes=DIMS))


@pytest.mark.parametrize("factor", [2, 4])
def test_cropping_is_what_slices_of_centred_arrays_do(factor: int) -> None:
    """And padding puts it back where it was; one is the adjoint of the other."""
    rng = np.random.default_rng(0)
    shape = (2, 8, 16, 24)
    field = (rng.random(shape) + 1j * rng.random(shape)).astype(np.complex64)
    small = cropped(uncentred(field), factor, DIMS)
    torch.testing.assert_close(small, uncentred(centre(field, factor)), rtol=0, atol=0)
    torch.testing.assert_close(
        padded(small, factor, DIMS), uncentred(around(centre(field, factor), factor)), rtol=0, atol=0
    )


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_a_finer_support_holds_all_that_the_coarse_voxels_touch(factor: int) -> None:
    """A fine voxel at most half a coarse one from a coarse centre is in, others are not; `coarser` gives back what was."""
    rng = np.random.default_rng(1)
    coarse = rng.random((2, 6, 4, 8)) < 0.05
    fine = finer(uncentred(coarse), factor, DIMS)
    expected = np.zeros([2, *(n * factor for n in coarse.shape[1:])], bool)
    reach = range(-(factor // 2), factor // 2 + 1)
    for b, *at in np.argwhere(coarse):
        place = [(i - n // 2) * factor + n * factor // 2 for i, n in zip(at, coarse.shape[1:], strict=True)]
        for offset in np.ndindex(*(len(reach),) * 3):
            where = [(p + reach[o]) % (n * factor) for p, o, n in zip(place, offset, coarse.shape[1:], strict=True)]
            expected[(b, *where)] = True
    # at odd factors the centres n factor // 2 of both grids are the same voxel as well: all sides here are even
    torch.testing.assert_close(fine, uncentred(expected), rtol=0, atol=0)
    torch.testing.assert_close(coarser(fine, factor, DIMS), uncentred(coarse), rtol=0, atol=0)


def problem() -> Problem:
    rng = np.random.default_rng(2)
    mask = rng.choice([0, 0, 0, 1, 2], SHAPE).astype(np.uint8)
    mask[4, 6, 8] = MaskState.VALID
    return Problem(rng.random(SHAPE).astype(np.float32) * 3, mask, rng.random(SHAPE) < 0.1, 0.4)


def starts() -> Starts:
    rng = np.random.default_rng(3)
    supports = np.zeros((2, *SHAPE), bool)
    centre(supports, 2)[...] = True
    objects = supports * (rng.random((2, *SHAPE)) + 1j * rng.random((2, *SHAPE)))
    return Starts(objects.astype(np.complex64), supports, "random")


def test_a_cropped_beginning_is_the_retrieval_of_the_cropped_pattern() -> None:
    """Its objects are those of a Problem cut out by hand, with the Gaussian on its moduli, on voxels twice as long."""
    whole, begin = problem(), starts()
    sigma = 0.4
    q = [(np.arange(n) - n // 2) / (n // 2) for n in SHAPE]
    window = np.exp(-0.5 * (q[0][:, None, None] ** 2 + q[1][:, None] ** 2 + q[2] ** 2) / sigma**2)
    assert whole.free is not None
    small = Problem(
        centre(whole.modulus * window, 2).astype(np.float32),
        centre(whole.mask, 2),
        centre(whole.free, 2),
        whole.padding_bound,
    )
    objects = np.stack([backward(centre(forward(o), 2)) for o in begin.objects]).astype(np.complex64)
    at_hand = Starts(objects, begin.supports[:, ::2, ::2, ::2], "random")
    recipe = "6*HIO+5*ER"
    by_hand = retrieve(small, parse(recipe), at_hand)
    found = retrieve(whole, parse(f"{recipe} | LOWRES(sigma={sigma},until=11,crop=2)"), begin)
    for one, other in zip(found, by_hand, strict=True):
        finest = backward(around(forward(other.object), 2))
        np.testing.assert_allclose(one.object, finest * one.support, atol=2e-5 * np.abs(finest).max())
        np.testing.assert_array_equal(one.support[::2, ::2, ::2], other.support)
        assert one.history[0].support_voxels == 8 * other.history[0].support_voxels


def test_afterwards_the_whole_pattern_counts() -> None:
    """ER of a consistent pattern ends at the same error with and without a coarse beginning: both fit all of it."""
    axes = np.meshgrid(*(np.arange(n) - n // 2 for n in (16, 16, 16)), indexing="ij")
    support = sum(a**2 for a in axes) < 9
    truth = (support * np.exp(0.3j * axes[0])).astype(np.complex64)
    modulus = np.abs(forward(truth)).astype(np.float32)
    exact = Problem(modulus, np.zeros(modulus.shape, np.uint8))
    begin = Starts((support * np.exp(0.2j * axes[0])).astype(np.complex64)[None], support[None], "random")
    (found,) = retrieve(
        exact, parse("60*ER | LOWRES(sigma=0.5,until=20,crop=2) | SW(start=20,every=10,sigma=0.5)"), begin
    )
    before, after = ({s.iteration: s.chi2 for s in found.history}[k] for k in (20, 50))
    assert after < 0.1 * before  # from an order of magnitude up, on the way to zero
    assert found.object.shape == (16, 16, 16)


def test_the_sides_must_allow_it() -> None:
    """The crop has even sides, like every grid here."""
    shape = (8, 10, 12)
    odd = Problem(np.ones(shape, np.float32), np.zeros(shape, np.uint8))
    begin = Starts(np.ones((1, *shape), np.complex64), np.ones((1, *shape), bool), "random")
    with pytest.raises(DataError, match="sides that 4 divides, not \\(8, 10, 12\\)"):
        retrieve(odd, parse("ER | LOWRES(crop=2)"), begin)


def test_a_crop_without_light_is_told() -> None:
    """All that is measured lies outside the centre."""
    shape = (8, 8, 8)
    mask = np.zeros(shape, np.uint8)
    centre(mask, 2)[...] = MaskState.MASKED
    dark = Problem(np.ones(shape, np.float32), mask)
    begin = Starts(np.ones((1, *shape), np.complex64), np.ones((1, *shape), bool), "random")
    with pytest.raises(DataError, match="central 1/2 of the pattern holds no intensity"):
        retrieve(dark, parse("ER | LOWRES(crop=2)"), begin)


def test_the_grid_of_every_iteration() -> None:
    """Of recipes with and without the clause."""
    recipe: Recipe = parse("9*ER | LOWRES(until=4,crop=2)")
    assert [recipe.crop(i) for i in range(6)] == [2, 2, 2, 2, 1, 1]
    assert parse("9*ER").crop(0) == 1
