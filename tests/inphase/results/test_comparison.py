"""inphase.results.comparison"""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from inphase import ambiguity
from inphase.errors import DataError
from inphase.formats.reconstruction import Reconstruction
from inphase.geometry import Geometry
from inphase.preprocess.placement import Placement
from inphase.results.comparison import compare, pairwise
from inphase.strain import strain
from tests.inphase.results.conftest import BASIS, Crystal, Q, on_grid


def test_what_a_pattern_cannot_tell_is_no_difference(crystal: Crystal) -> None:
    """A twin that is moved, turned, scaled and has another ramp is the same object; what was done to it is told."""
    a = on_grid((32, 36, 34), BASIS)
    slope = (0.11, -0.07, 0.05)
    b = 3 * np.exp(2j) * ambiguity.twin(ambiguity.unramped(np.roll(a, (2, -1, 3), (0, 1, 2)), [-s for s in slope]))
    found = compare(crystal(a), crystal(b.astype(np.complex64)))
    assert found.alignment.twin
    assert found.correlation > 0.9999
    assert found.ssim > 0.999
    assert found.overlap > 0.999
    assert found.phase.rms < 1e-3
    assert found.strain is not None
    assert found.strain.rms < 1e-6
    assert found.ramp == pytest.approx(slope, abs=1e-3)
    # the ramp is a lattice that differs: G = Q + grad phase
    dual = np.linalg.inv(BASIS).T
    own = np.array(ambiguity.mean_gradient(np.where(np.abs(a) > 0.2, a, 0)))
    lattices = [Q + ramp @ dual for ramp in (own, own + slope)]
    expected = np.linalg.norm(lattices[0]) / np.linalg.norm(lattices[1]) - 1
    assert found.lattice == pytest.approx(expected, rel=0.02)


def test_the_difference_is_the_one_that_was_made(crystal: Crystal) -> None:
    """A phase that is added has the rms that it has in the support, and the strain that its gradient along Q is."""
    a = on_grid((32, 36, 34), BASIS)
    index = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in a.shape), indexing="ij"), axis=-1)
    r = index @ BASIS
    unit = Q / np.linalg.norm(Q)
    added = 0.3 * np.cos((r @ unit) / 9e-9)
    inside = np.abs(a) > 0.2
    added -= added[inside].mean()
    found = compare(crystal(a), crystal((a * np.exp(1j * added)).astype(np.complex64)))
    assert not found.alignment.twin
    weights = np.abs(a[inside]) ** 2
    by_hand = abs((weights * np.exp(1j * added[inside])).sum()) / weights.sum()
    assert found.correlation == pytest.approx(by_hand, abs=2e-3)
    assert found.phase.rms == pytest.approx(float(added[inside].std()), rel=0.05)
    assert found.strain is not None
    gradient = -0.3 / 9e-9 * np.sin((r @ unit) / 9e-9)
    expected = -gradient[inside] / np.linalg.norm(Q)
    # differences over voxels of 5 to 6 nm damp a wave of 57 nm: sin(k d) / (k d) is 0.95
    assert found.strain.rms == pytest.approx(float(np.sqrt((expected**2).mean())), rel=0.12)
    assert found.resolution.metres is not None


def test_grids_of_other_voxels(crystal: Crystal) -> None:
    """The same crystal on cubic voxels of the laboratory, elsewhere in its array: compared on the finer of both."""
    cubic = 4e-9 * np.eye(3)[::-1]
    other = on_grid((30, 28, 34), cubic, offset_m=(3e-9, -5e-9, 2e-9))
    for pair in ((crystal(), crystal(other, cubic)), (crystal(other, cubic), crystal())):
        found = compare(*pair)
        assert found.correlation > 0.995
        assert found.phase.rms < 0.05
        assert found.geometry is not None
        assert np.allclose(found.geometry.voxel_basis_m(found.a.shape), cubic)
        assert any("finer grid" in note for note in found.notes)


def test_without_geometry_voxels_are_taken_for_equal(crystal: Crystal) -> None:
    """And that is said; there is no strain, with the reason; the figures are JSON."""
    a = on_grid((32, 36, 34), BASIS)
    found = compare(crystal(a, None), crystal(a[3:, 4:-5], None))
    assert found.correlation > 0.9999
    assert any("equally large" in note for note in found.notes)
    assert found.strain is None
    told = json.loads(json.dumps(found.to_builtins()))
    assert told["strain_reason"].startswith("the geometry")
    assert told["resolution"]["voxels"] is not None


@pytest.mark.parametrize("geometry_of", [None, "a", "b"])
def test_grids_of_one_measurement(crystal: Crystal, geometry_of: str | None) -> None:
    """Binned by two, the second one has half the voxels along an axis: as both tell, whoever knows its geometry."""
    bases = {"a": BASIS, "b": BASIS * [[1], [0.5], [1]]}
    shape, runs = (32, 36, 34), []
    for name, bins in (("a", (1, 1, 1)), ("b", (1, 2, 1))):
        obj = on_grid(shape, bases[name])
        way = Placement(shape, (0, 0, 0), bins, shape)
        runs.append(crystal(obj, bases[name] if name == geometry_of else None, placement=way))
    found = compare(*runs)
    assert found.correlation > 0.995
    assert found.phase.rms < 0.05
    assert any("interpolated onto the finer grid of B" in note for note in found.notes)
    if geometry_of is None:
        assert found.geometry is None
        assert any("taken for equal" in note for note in found.notes)
    else:
        assert found.geometry is not None
        assert np.allclose(found.geometry.voxel_basis_m(found.a.shape), bases["b"])
    scores, _ = pairwise(runs)
    assert scores[0, 1] > 0.995


@pytest.mark.parametrize(("turn", "said"), [(0.0, False), (0.02, False), (0.3, True)])
def test_other_reflections_are_said(crystal: Crystal, turn: float, said: bool) -> None:
    """A vector that is turned by an angle lies 2 sin (angle / 2) of its length away; d may differ a little."""
    a = on_grid((32, 36, 34), BASIS)
    other = Rotation.from_rotvec(turn * np.cross(Q, [0, 0, 1]) / np.linalg.norm(np.cross(Q, [0, 0, 1]))).apply(Q)
    found = compare(crystal(a), crystal(a, geometry=Geometry.of_voxels(BASIS, a.shape, 1.01 * other)))
    assert any("another reflection" in note for note in found.notes) == said


def test_each_strain_is_along_its_own_momentum_transfer(crystal: Crystal) -> None:
    """Two orders of one reflection see one displacement, u = e x^2 / 2 along Q: the phase of the one with the longer Q
    is steeper by its length, and the strain e x is the same. The note says how they differ.
    """
    shape, length = (32, 36, 34), float(np.linalg.norm(Q))
    place = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij"), axis=-1) @ BASIS
    x = place @ Q / length
    amplitude = np.abs(on_grid(shape, BASIS))
    u = 6e3 * x**2 / 2  # metres; a strain of some 2e-4 at the surface

    def order(times: float) -> Reconstruction:
        field = (amplitude * np.exp(-1j * times * length * u)).astype(np.complex64)
        return crystal(field, geometry=Geometry.of_voxels(BASIS, shape, times * Q))

    found = compare(order(1.0), order(1.2))
    assert found.strain is not None
    assert found.strain_a is not None
    size = float(np.sqrt(np.nanmean(found.strain_a.astype(np.float64) ** 2)))
    assert size > 5e-5
    assert found.strain.rms < 0.02 * size  # interpolation by parts of a voxel; along one Q it is 0.2
    assert any("1.2000 times as long as that of A, and 0.00 degrees away" in note for note in found.notes)
    assert not any("momentum transfer of" in note for note in compare(order(1.0), order(1.0)).notes)


def test_a_momentum_transfer_that_one_tells_serves_both(crystal: Crystal) -> None:
    """And the note says so."""
    a = crystal()
    bare = crystal(geometry=Geometry.of_voxels(BASIS, a.object.shape, None))
    for pair, name in (((a, bare), "B"), ((bare, a), "A")):
        found = compare(*pair)
        assert found.strain is not None
        assert any(f"momentum transfer of {name} is unknown" in note for note in found.notes)
    found = compare(bare, bare)
    assert found.strain is None
    assert "momentum transfer of both" in str(found.strain_reason)


def test_a_missing_support_is_said(crystal: Crystal) -> None:
    """It is taken from the amplitude."""
    from dataclasses import replace

    bare = replace(crystal(), support=None, source="bare.cxi")
    found = compare(crystal(), bare)
    assert found.overlap > 0.99
    assert any("bare.cxi has no support" in note for note in found.notes)


def test_what_cannot_be_compared(crystal: Crystal) -> None:
    """A volume with an image, another frame, nothing at all: each says what is wrong."""
    plane = on_grid((32, 36, 34), BASIS)[16]
    with pytest.raises(DataError, match="has 3 axes and made has 2"):
        compare(crystal(), crystal(plane, None))
    with pytest.raises(DataError, match="inphase orthogonalise"):
        compare(crystal(), crystal(frame="crystal"))
    with pytest.raises(DataError, match="empty"):
        compare(crystal(), crystal(np.zeros((8, 8, 8), np.complex64)))


def test_strain_maps_are_those_of_the_strain_module(crystal: Crystal) -> None:
    """Of a compared with itself: the map of `inphase.strain` within the box."""
    a = crystal()
    found = compare(a, a)
    assert a.geometry is not None
    assert a.support is not None
    direct = strain(a.object, a.support, a.geometry)
    assert found.strain_a is not None
    known = found.strain_a[np.isfinite(found.strain_a)]
    assert np.allclose(np.sort(known), np.sort(direct.strain[np.isfinite(direct.strain)]), atol=1e-7)
