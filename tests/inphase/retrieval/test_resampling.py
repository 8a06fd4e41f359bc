"""inphase.retrieval.resampling, and recipes that begin on a smaller grid, against the same done by hand."""

import numpy as np
import pytest
import torch

from inphase.errors import DataError
from inphase.fourier import backward, forward
from inphase.pattern import MaskState
from inphase.retrieval.engine import retrieve
from inphase.retrieval.problem import Problem
from inphase.retrieval.recipe import parse
from inphase.retrieval.resampling import covered, resampled
from inphase.retrieval.starts import Starts

SHAPE, SMALL = (8, 12, 16), (4, 6, 8)
DIMS = (1, 2, 3)


def centre(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The central part of the last three axes of a centred array."""
    windows = (slice(n // 2 - m // 2, n // 2 + m // 2) for n, m in zip(array.shape[-3:], shape, strict=True))
    return array[(..., *windows)]


def around(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Zeros around a centred array."""
    result = np.zeros((*array.shape[:-3], *shape), array.dtype)
    centre(result, array.shape[-3:])[...] = array
    return result


def uncentred(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.fft.ifftshift(array, axes=DIMS))


@pytest.mark.parametrize("small", [(4, 8, 12), (6, 12, 18)])
def test_resampling_is_what_slices_of_centred_arrays_do(small: tuple[int, ...]) -> None:
    """Down to the centre, and up with zeros around it."""
    rng = np.random.default_rng(0)
    shape = (8, 16, 24)
    field = (rng.random((2, *shape)) + 1j * rng.random((2, *shape))).astype(np.complex64)
    cut = centre(field, small)
    torch.testing.assert_close(resampled(uncentred(field), small), uncentred(cut), rtol=0, atol=0)
    torch.testing.assert_close(resampled(uncentred(cut), shape), uncentred(around(cut, shape)), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("old", "new"), [((6, 4, 8), (12, 8, 16)), ((8, 4, 12), (12, 6, 18)), ((12, 8, 16), (6, 6, 8))]
)
def test_a_support_covers_what_lies_within_a_voxel(old: tuple[int, ...], new: tuple[int, ...]) -> None:
    """A new voxel is in where one of the old ones less than an old voxel's side from its centre, along each axis,
    is in.
    """
    rng = np.random.default_rng(1)
    support = rng.random((2, *old)) < 0.1
    expected = np.zeros((2, *new), bool)
    for at in np.ndindex(*new):
        place = [(i - m // 2) * n / m for i, m, n in zip(at, new, old, strict=True)]
        near = [
            [k % n for k in range(-n, 2 * n) if abs(k - n // 2 - p) < 1]
            for p, n in zip(place, old, strict=True)
        ]  # fmt: skip
        expected[(slice(None), *at)] = support[(slice(None), *np.ix_(*near))].any((1, 2, 3))
    torch.testing.assert_close(covered(uncentred(support), new), uncentred(expected), rtol=0, atol=0)


def problem() -> Problem:
    rng = np.random.default_rng(2)
    mask = rng.choice([0, 0, 0, 1, 2], SHAPE).astype(np.uint8)
    mask[4, 6, 8] = MaskState.VALID  # DC
    return Problem(rng.random(SHAPE).astype(np.float32) * 3, mask, rng.random(SHAPE) < 0.1, 0.4)


def starts() -> Starts:
    rng = np.random.default_rng(3)
    supports = np.zeros((2, *SHAPE), bool)
    centre(supports, SMALL)[...] = True
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
        centre(whole.modulus * window, SMALL).astype(np.float32),
        centre(whole.mask, SMALL),
        centre(whole.free, SMALL),
        whole.padding_bound,
    )
    objects = np.stack([backward(centre(forward(o), SMALL)) for o in begin.objects]).astype(np.complex64)
    at_hand = Starts(objects, begin.supports[:, ::2, ::2, ::2], "random")
    recipe = "6*HIO+5*ER"
    by_hand = retrieve(small, parse(recipe), at_hand)
    found = retrieve(whole, parse(f"{recipe} | LOWRES(sigma={sigma},until=11,side=0.5)"), begin)
    for one, other in zip(found, by_hand, strict=True):
        finest = backward(around(forward(other.object), SHAPE))
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
        exact,
        parse("60*ER | LOWRES(sigma=0.5,until=20,side=0.5) | SW(start=20,every=10,threshold=0.4,sigma=0.3)"),
        begin,
    )
    before, after = ({s.iteration: s.chi2 for s in found.history}[k] for k in (20, 50))
    assert after < 0.1 * before  # from an order of magnitude up, on the way to zero
    assert found.object.shape == (16, 16, 16)


def test_sides_are_rounded_to_even_ones() -> None:
    """Any pattern may begin small: 0.75 of 10 voxels is 8 of them, a thousandth two."""
    shape = (8, 10, 12)
    rng = np.random.default_rng(4)
    uneven = Problem(rng.random(shape).astype(np.float32), np.zeros(shape, np.uint8))
    begin = Starts(rng.random((1, *shape)).astype(np.complex64), np.ones((1, *shape), bool), "random")
    for side, small in (("0.75", (6, 8, 8)), ("0.5", (4, 4, 6)), ("0.001", (2, 2, 2))):
        kept = []
        (found,) = retrieve(
            uneven,
            parse(f"2*ER | LOWRES(side={side})"),
            begin,
            progress=lambda p, kept=kept: kept.append(p.checkpoint()),
        )
        assert kept[0].objects.shape == (1, *small)
        assert found.object.shape == shape


def test_a_centre_without_light_is_told() -> None:
    """All that is measured lies outside."""
    shape = (8, 8, 8)
    mask = np.zeros(shape, np.uint8)
    centre(mask, (4, 4, 4))[...] = MaskState.MASKED
    dark = Problem(np.ones(shape, np.float32), mask)
    begin = Starts(np.ones((1, *shape), np.complex64), np.ones((1, *shape), bool), "random")
    with pytest.raises(DataError, match=r"0\.5 of each side, holds no intensity for LOWRES"):
        retrieve(dark, parse("ER | LOWRES(side=0.5)"), begin)
