"""Shells, transfer function and shell correlation against loops over voxels and analytic cases."""

import numpy as np
import pytest

from inphase.errors import DataError
from inphase.fourier import backward, forward
from inphase.geometry import Geometry
from inphase.pattern import MaskState
from inphase.resolution import FIXED, ONE_OVER_E, Curve, Shells, fsc, half_bit, prtf

SHAPE = (8, 12, 10)
SHEARED = Geometry(np.array([[2e7, 1e7, 0.0], [0.0, 1.5e7, 0.0], [0.0, -4e6, 1e7]]))


def _noise(seed, shape=SHAPE):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def _far(obj):
    """An independent centred transform in double precision."""
    return np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(obj), norm="ortho"))


def _shell(index, geometry, shape=SHAPE):
    """Shell of one voxel, by the definition: |q| over the longest step, rounded."""
    k = np.array([i - n // 2 for i, n in zip(index, shape, strict=True)], float)
    steps = np.diag([2 / n for n in shape]) if geometry is None else geometry.q_steps
    return round(float(np.linalg.norm(k @ steps) / max(np.linalg.norm(step) for step in steps)))


@pytest.mark.parametrize("geometry", [None, SHEARED], ids=["unknown", "sheared"])
def test_curves_equal_the_definitions_summed_voxel_by_voxel(geometry):
    """PRTF and FSC of random volumes with masked voxels and measured zeros; double precision: 1e-10."""
    a, b = _noise(0), _noise(1)
    rng = np.random.default_rng(2)
    modulus, mask = rng.poisson(1.5, SHAPE).astype(np.float32), rng.integers(0, 3, SHAPE).astype(np.uint8)
    shells = Shells.of(SHAPE, geometry)
    f, g = _far(a), _far(b)
    ratios, cross, powers = {}, {}, {}
    central = []
    for i in np.ndindex(SHAPE):
        if mask[i] != MaskState.VALID:
            continue
        k = _shell(i, geometry)
        cross[k] = cross.get(k, 0) + (f[i] * np.conj(g[i])).real
        p, q = powers.get(k, (0.0, 0.0))
        powers[k] = (p + abs(f[i]) ** 2, q + abs(g[i]) ** 2)
        if modulus[i] > 0:
            ratios.setdefault(k, []).append(abs(f[i]) / modulus[i])
            if all(abs(x - n // 2) <= 3 for x, n in zip(i, SHAPE, strict=True)):
                central.append(ratios[k][-1])
    transfer, correlation = prtf(a, modulus, mask, shells), fsc(a, b, shells, mask)
    width = shells.q[1]
    for curve, expected in (
        (transfer, {k: np.mean(r) / np.mean(central) for k, r in ratios.items()}),
        (correlation, {k: c / np.sqrt(powers[k][0] * powers[k][1]) for k, c in cross.items()}),
    ):
        found = {round(q / width): value for q, value in zip(curve.q, curve.values, strict=True)}
        kept = {k: value for k, value in expected.items() if k < len(shells.q)}
        assert found.keys() == kept.keys()
        np.testing.assert_allclose([found[k] for k in kept], list(kept.values()), rtol=1e-10)
    assert transfer.voxels.tolist() == [len(ratios[k]) for k in sorted(ratios) if k < len(shells.q)]


def test_units_of_the_shells():
    """Without a geometry the last shell lies just below Nyquist;
    with one they are in 1/m, to the end of the longest axis.
    """
    shells = Shells.of((64, 64, 64))
    assert (shells.unit, len(shells.q)) == ("nyquist", 32)
    np.testing.assert_allclose(shells.q, np.arange(32) / 32)
    known = Shells.of(SHAPE, SHEARED)
    assert known.unit == "1/m"
    assert known.q[1] == pytest.approx(np.hypot(2e7, 1e7))
    assert known.q[-1] <= 6 * 1.5e7 < known.q[-1] + known.q[1]


def test_the_same_solution_twice_is_resolved_as_far_as_it_was_measured():
    """PRTF and FSC are 1 in every shell, for a scaled modulus too; no curve crosses its threshold."""
    obj = _noise(0)
    modulus, mask = np.abs(forward(obj)), np.zeros(SHAPE, np.uint8)
    shells = Shells.of(SHAPE)
    transfer, correlation = prtf(5 * obj, modulus, mask, shells), fsc(obj, 3 * obj, shells)
    np.testing.assert_allclose(transfer.values, 1, rtol=1e-10)
    np.testing.assert_allclose(correlation.values, 1, rtol=1e-10)
    for found in (transfer.resolution("1/e", ONE_OVER_E), correlation.resolution("0.143", FIXED)):
        assert not found.crossed
        assert found.voxels == pytest.approx(2 / shells.q[-1])


def test_random_phases_lower_the_transfer_function_by_the_root_of_their_number():
    """Phases agree below half of Nyquist and are random above: 1, then sqrt(pi / 4 n) for n = 16;
    the resolution is 4 voxels.

    A shell holds 3000 voxels or more: their mean is known to 1 %; the crossing to the width of a shell.
    """
    shape, n = (48, 48, 48), 16
    rng = np.random.default_rng(3)
    shells = Shells.of(shape)
    modulus = np.ones(shape)
    outside = shells.index > len(shells.q) // 2
    phases = np.where(outside, rng.uniform(-np.pi, np.pi, (n, *shape)), 0.0)
    average = backward(np.exp(1j * phases).mean(axis=0))
    curve = prtf(average, modulus, np.zeros(shape, np.uint8), shells)
    inner = curve.q <= 0.5
    np.testing.assert_allclose(curve.values[inner], 1, rtol=1e-6)
    np.testing.assert_allclose(curve.values[~inner], np.sqrt(np.pi / 4 / n), rtol=0.03)
    assert curve.resolution("1/e", ONE_OVER_E).voxels == pytest.approx(4, rel=0.1)


def test_correlation_of_two_noisy_halves():
    """Equal signal and independent noise of a third of its power:
    FSC = snr / (1 + snr) = 0.75 in every well-filled shell (5 %).
    """
    shape = (40, 40, 40)
    signal = _noise(0, shape)
    a, b = (signal + np.sqrt(1 / 3) * _noise(seed, shape) for seed in (1, 2))
    curve = fsc(a, b, Shells.of(shape))
    full = curve.voxels > 1000
    assert full.sum() > 8
    np.testing.assert_allclose(curve.values[full], 0.75, rtol=0.05)


def test_half_a_bit():
    """The formula's limits: 0.2071 / 1.2071 for many voxels, 1 for one; oversampled voxels count less."""
    curve = Curve(np.array([0.1, 0.2]), np.zeros(2), np.array([1, 10**12]), "nyquist")
    np.testing.assert_allclose(half_bit(curve, 1.0), [2.1173 / 2.1173, 0.2071 / 1.2071], rtol=1e-4)
    np.testing.assert_allclose(half_bit(curve, 1e-12), [-np.inf, 1.0], rtol=1e-4)
    # bits per voxel at the threshold: log2(1 + snr) with snr of the sum of both halves, FSC = snr' / (1 + snr'),
    # snr = 2 snr'
    limit = 0.2071 / 1.2071
    assert np.log2(1 + 2 * limit / (1 - limit)) == pytest.approx(0.5, abs=1e-3)


def test_resolution_is_interpolated_and_in_metres():
    """A straight line from 1 to 0 over 1e9 / m falls below 1/4 at 0.75e9: 2 pi / q = 8.38 nm."""
    q = np.linspace(0, 1e9, 11)
    curve = Curve(q, 1 - q / 1e9, np.ones(11, int), "1/m")
    found = curve.resolution("a quarter", 0.25)
    assert found.crossed
    assert found.metres == pytest.approx(2 * np.pi / 0.75e9)
    assert found.voxels is None
    at_once = curve.resolution("unreachable", 2.0)
    assert (at_once.q, at_once.metres, at_once.crossed) == (0.0, None, True)


def test_what_does_not_fit_is_refused():
    """A pattern without counts around its centre, shells of another grid, a geometry of other dimensions."""
    obj, mask = _noise(0), np.zeros(SHAPE, np.uint8)
    with pytest.raises(DataError, match="measured counts"):
        prtf(obj, np.zeros(SHAPE), mask, Shells.of(SHAPE))
    with pytest.raises(DataError, match="geometry"):
        Shells.of((8, 8), SHEARED)
    with pytest.raises(DataError, match="do not fit"):
        fsc(obj, obj, Shells.of((4, 4, 60)))


def test_a_fall_after_an_undecided_shell_is_where_it_is_seen() -> None:
    """Half a bit is no threshold where a shell has less than one independent voxel: nothing is interpolated there."""
    curve = Curve(np.array([0.0, 0.1, 0.2]), np.array([0.9, 0.9, 0.1]), np.array([1, 5, 50]), "nyquist")
    found = curve.resolution("half-bit", np.array([-np.inf, -np.inf, 0.5]))
    assert (found.q, found.crossed) == (0.2, True)


def test_a_shell_without_a_value_is_where_the_curve_ends() -> None:
    """NaN is no agreement: the resolution is a number, and not that of the last shell."""
    q = np.array([0.0, 0.1, 0.2, 0.3])
    found = Curve(q, np.array([1.0, 0.9, np.nan, 0.9]), np.full(4, 50), "nyquist").resolution("0.143", FIXED)
    assert (found.q, found.crossed) == (0.2, True)
    nothing = Curve(q, np.full(4, np.nan), np.full(4, 50), "nyquist").resolution("0.143", FIXED)
    assert (nothing.q, nothing.crossed) == (0.0, True)


def test_shells_along_an_axis() -> None:
    """A cone about one axis holds what lies within 45 degrees of it, on a sheared grid by its true directions."""
    steps = np.array([[2.0, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.3, 1.5]]) * 1e6
    geometry = Geometry(steps)
    shape = (12, 14, 10)
    whole = Shells.of(shape, geometry)
    index = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij"), axis=-1)
    q = index @ steps
    for axis in range(3):
        cone = whole.along(axis, shape, geometry)
        with np.errstate(invalid="ignore"):
            cosine = np.abs(q @ steps[axis]) / np.linalg.norm(q, axis=-1) / np.linalg.norm(steps[axis])
            angle = np.degrees(np.arccos(np.minimum(cosine, 1)))
        inside = np.nan_to_num(angle, nan=0.0) <= 45 + 1e-6
        assert np.array_equal(cone.index[inside], whole.index[inside])
        assert (cone.index[~inside] == len(whole.q)).all()
