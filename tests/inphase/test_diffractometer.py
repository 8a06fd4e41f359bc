"""Rocking scans against another program, against brute force and against the header of a real scan."""

from dataclasses import replace

import numpy as np
import pytest

from inphase.beamlines import BEAMLINES
from inphase.diffractometer import Circle, Diffractometer, RockingScan, bragg_peak
from inphase.errors import DataError
from inphase.geometry import wavelength_m
from tests.inphase.rotations import brute_q, brute_steps
from tests.inphase.scans import SCAN_54

# Momentum transfer in the frame of the sample, 1/m, at VOXELS, from xrayutilities 1.8.0:
# QConversion(sample axes, detector
# axes, r_i=(0, 0, 1), wl) and one-pixel areas (init_area with cch = 1000 + direct beam, roi around the pixel), every
# frame with its own angle. 9 keV, 0.5 m, pixels of 55 x 60 um, direct beam at (12.5, -30.25) from the centre pixel.
VOXELS = np.array([(0, 0, 0), (40, -90, 75), (-33, 11, -120)], float)
XRAYUTILITIES = {
    "34-ID-C": (
        "theta",
        {"theta": 0.2200042, "chi": 90.0, "phi": -5.0, "delta": 32.174, "gamma": 12.6346},
        0.005,
        [
            [-10691880800.0, 23861984230.0, -7042306172.0],
            [-11148711290.0, 24183405180.0, -7224934143.0],
            [-10612560950.0, 23287992300.0, -6759326281.0],
        ],
    ),
    "ID01": (
        "eta",
        {"mu": 0.3, "eta": 18.2, "phi": -41.0, "nu": -1.7, "delta": 35.1},
        0.01,
        [
            [751361319.4, 27572874090.0, 1006942221.0],
            [1024477287.0, 28005966810.0, 1303859399.0],
            [337403004.1, 27513534170.0, 484294068.9],
        ],
    ),
    "P10": (
        "phi",
        {"mu": 1.5, "om": 15.8, "chi": 89.0, "phi": 33.0, "gam": 28.0, "del": 21.0},
        -0.006,
        [
            [13762528310.0, -19720936900.0, -12141109310.0],
            [14217420600.0, -19272066430.0, -12169730680.0],
            [13596328650.0, -20316019950.0, -12443212690.0],
        ],
    ),
    "NanoMAX": (
        "gontheta",
        {"gontheta": 16.0, "gonphi": 7.0, "gamma": 3.0, "delta": 31.0},
        0.02,
        [
            [-1846379383.0, 24449184510.0, 380891263.1],
            [-1397321972.0, 24874510740.0, 573071157.1],
            [-2535534511.0, 24404667300.0, 161099750.0],
        ],
    ),
}


@pytest.mark.parametrize("beamline", XRAYUTILITIES)
def test_momentum_transfer_agrees_with_xrayutilities(beamline: str) -> None:
    """Any circle of the sample scanned, an off-centre direct beam, unequal pixels: nine digits of every component."""
    scanned, angles, step, expected = XRAYUTILITIES[beamline]
    scan = RockingScan(
        BEAMLINES[beamline], 9.0, 0.5, (55e-6, 60e-6), angles, {scanned: step}, direct_beam=(12.5, -30.25)
    )
    rotation = scan.geometry().sample_rotation
    np.testing.assert_allclose(scan.momentum_transfer(VOXELS) @ rotation.T, expected, rtol=1e-9, atol=1.0)


def test_the_grid_touches_the_exact_one_at_the_peak() -> None:
    """Numerical derivatives of the exact momentum transfer, at a peak far off the centre, are the steps."""
    peak = (40.0, -300.0, 220.0)
    geometry = SCAN_54.geometry(peak)
    exact = SCAN_54.momentum_transfer
    np.testing.assert_allclose(geometry.q(np.array(peak)), exact(np.array(peak)), rtol=1e-12)
    for axis in range(3):
        h = 1e-2 * np.eye(3)[axis]
        slope = (exact(np.array(peak) + h) - exact(np.array(peak) - h)) / 2e-2
        np.testing.assert_allclose(geometry.q_steps[axis], slope, atol=1e-8 * np.linalg.norm(slope))


def test_linearised_grid_of_scan_54_against_the_ewald_sphere() -> None:
    """The 64^3 grid that is reconstructed (bins 3, 2, 1 around the peak) mapped exactly: at its farthest corner the
    uniform grid is 0.47 of a voxel off, across the detector's pixels, because the crystal has turned by 0.5 deg there.
    The deviation is of second order: a quarter of it in the half window, which holds the fringes that carry the counts.
    """

    def off(half: tuple[int, int, int]) -> float:
        axes = np.meshgrid(*(np.linspace(-n, n, 9) for n in half), indexing="ij")
        voxels = np.stack(axes, axis=-1)
        geometry = SCAN_54.geometry()
        deviation = (SCAN_54.momentum_transfer(voxels) - geometry.q(voxels)) @ np.linalg.inv(geometry.q_steps)
        return float(np.abs(deviation / np.array([3, 2, 1])).max())

    corner = off((96, 64, 32))
    assert corner == pytest.approx(0.47, abs=0.01)
    assert off((48, 32, 16)) == pytest.approx(corner / 4, rel=0.05)


def test_scan_54_is_the_111_reflection_of_gold() -> None:
    """Two theta 34.316 deg, as SPEC itself computed it (#G4). d = 2.335 A where gold has 2.355 A: 0.85 % below, because
    the header does not say where on the detector the direct beam fell. At the middle of the whole chip (cohere's
    estimate), 128 pixels further, d would be 2.367 A: 0.5 % above. The truth lies between.
    """
    gold = 4.0782e-10 / np.sqrt(3)
    assert SCAN_54.two_theta_deg() == pytest.approx(34.31625944, abs=1e-6)
    at_frames = 2 * np.pi / np.linalg.norm(SCAN_54.momentum_transfer(np.zeros(3)))
    at_chip = 2 * np.pi / np.linalg.norm(replace(SCAN_54, direct_beam=(128.0, 128.0)).momentum_transfer(np.zeros(3)))
    assert at_frames / gold - 1 == pytest.approx(-0.0083, abs=2e-4)
    assert at_chip / gold - 1 == pytest.approx(0.0054, abs=2e-4)


def test_scan_54_steps() -> None:
    """Theta turns about the vertical, which is not across Q, and moves only the horizontal part of Q by |Q_h| x 0.005
    deg. A pixel is k p / D, so that 256 of them give lambda D / (N p) = 4.89 nm across the beam.
    """
    geometry = SCAN_54.geometry()
    q = geometry.q_centre
    horizontal = np.hypot(q[0], q[2])
    assert np.linalg.norm(geometry.q_steps[0]) == pytest.approx(horizontal * np.deg2rad(0.005), rel=1e-9)
    pixel = 2 * np.pi / wavelength_m(9.0) * 55e-6 / 0.5
    np.testing.assert_allclose(np.linalg.norm(geometry.q_steps[1:], axis=1), pixel)
    basis = geometry.voxel_basis_m((201, 256, 256))
    face = geometry.q_steps[1:] / pixel
    np.testing.assert_allclose(np.diag(face @ basis[1:].T), 4.89e-9, rtol=1e-3)


def test_corrected_angles_bring_the_direct_beam_to_the_pixel() -> None:
    """A detector turned to the corrected angles has its direct-beam pixel where the pixel was; at 34-ID-C, columns run
    with delta and rows against gamma, 55 um / 0.5 m = 0.0063 deg each (delta more, by 1 / cos gamma).
    """
    angles = SCAN_54.corrected_angles_deg(row=-10, column=20)
    turned = replace(SCAN_54, angles_deg={**SCAN_54.angles_deg, **angles})
    np.testing.assert_allclose(
        turned.momentum_transfer(np.zeros(3)), SCAN_54.momentum_transfer(np.array([0.0, -10.0, 20.0])), rtol=1e-9
    )
    pixel = np.degrees(55e-6 / 0.5)
    assert angles["gamma"] - 12.6346 == pytest.approx(10 * pixel, rel=0.01)
    assert angles["delta"] - 32.174 == pytest.approx(20 * pixel / np.cos(np.deg2rad(12.6346)), rel=0.01)


def test_a_circle_inside_the_rocking_one_changes_nothing_in_the_laboratory() -> None:
    """chi and phi stand on theta: they turn the crystal, not the axis about which theta rocks it."""
    other = replace(SCAN_54, angles_deg={**SCAN_54.angles_deg, "chi": 17.0, "phi": 60.0})
    np.testing.assert_allclose(other.geometry().q_steps, SCAN_54.geometry().q_steps)
    carried = replace(
        SCAN_54, steps_deg={"phi": 0.005}
    )  # phi is carried by theta and chi = 90: its axis lies in the horizontal plane
    axis = np.cross(carried.geometry().q_steps[0], carried.geometry().q_centre)
    assert carried.geometry().q_steps[0] @ carried.geometry().q_centre == pytest.approx(0.0, abs=1e3)
    assert np.linalg.norm(axis) > 0


def test_a_tilted_detector_on_any_axes() -> None:
    """Axes that are no coordinate axes, and a detector tilted against the beam: |k_out| = k for every pixel, and the
    pixel positions are those of a ruler.
    """
    tilt = np.deg2rad(20.0)
    diffractometer = Diffractometer(
        "table",
        sample=(Circle("omega", (0.0, 1.0, 1.0)),),
        detector=(Circle("arm", (0.3, -1.0, 0.2)),),
        row=(0.0, -np.cos(tilt), np.sin(tilt)),
    )
    scan = RockingScan(diffractometer, 11.0, 0.7, (75e-6, 75e-6), {"omega": 3.0, "arm": 25.0}, {"omega": 0.01})
    k = 2 * np.pi / wavelength_m(11.0)
    pixels = np.array([[0.0, 400.0, -300.0], [0.0, -500.0, 10.0]])
    out = scan.momentum_transfer(pixels) + np.array([0.0, 0.0, k])
    np.testing.assert_allclose(np.linalg.norm(out, axis=1), k)
    flat = [
        0.7 * np.array([0.0, 0.0, 1.0]) + 75e-6 * (r * np.array(diffractometer.row) + [c, 0, 0]) for _, r, c in pixels
    ]
    expected = flat[0] @ flat[1] / np.linalg.norm(flat[0]) / np.linalg.norm(flat[1])
    assert out[0] @ out[1] / k**2 == pytest.approx(expected)
    with pytest.raises(DataError, match="no angles of arm"):
        scan.corrected_angles_deg(row=400.0)


def test_the_bragg_peak_is_no_hot_pixel() -> None:
    """A broad peak of a thousand counts is found beside hot pixels, a hot column,
    and a masked region of saturated ones.
    """
    frame, row, column = np.indices((21, 40, 50))
    counts = (1000 * np.exp(-((frame - 13) ** 2 + (row - 9) ** 2 + (column - 31) ** 2) / 20)).astype(np.uint32)
    counts[:, 30, 40] = 4_000_000_000
    counts[4, 20, 20] = 4_000_000_000
    counts[:, :, 5] = 60_000
    mask = np.zeros(counts.shape, np.uint8)
    counts[:, 35:, :], mask[:, 35:, :] = 2**32 - 1, 1
    assert bragg_peak(counts, mask) == (13 - 10, 9 - 20, 31 - 25)


def test_linearising_at_an_off_centre_peak_matters() -> None:
    """A peak 200 pixels off the middle: the d-spacing from a grid that touches the middle is 3e-4 wrong, a strain of
    its own; from one that touches the peak it is exact.
    """
    peak = (10.0, 150.0, -200.0)
    exact = np.linalg.norm(SCAN_54.momentum_transfer(np.array(peak)))
    assert np.linalg.norm(SCAN_54.geometry(peak).q(np.array(peak))) == pytest.approx(exact, rel=1e-12)
    assert abs(np.linalg.norm(SCAN_54.geometry().q(np.array(peak))) / exact - 1) > 2e-4


MOVING = {  # at every beamline: sample and detector together, two circles of the sample, all at once
    "34-ID-C": [
        {"theta": 0.004, "delta": 0.008},
        {"theta": 0.004, "phi": -0.003},
        {"chi": 0.01, "phi": 0.02, "gamma": 0.01},
    ],
    "ID01": [
        {"eta": 0.01, "delta": 0.02},
        {"mu": 0.01, "phi": 0.02},
        {"mu": 0.01, "eta": 0.02, "nu": 0.01, "delta": -0.03},
    ],
    "P10": [{"om": 0.01, "del": 0.02}, {"om": 0.01, "chi": 0.02, "phi": -0.01}, {"mu": 0.01, "gam": 0.02, "del": 0.02}],
    "NanoMAX": [
        {"gontheta": 0.02, "delta": 0.04},
        {"gontheta": 0.02, "gonphi": 0.01},
        {"gonphi": 0.01, "gamma": -0.02},
    ],
    "SIXS": [{"mu": 0.01, "delta": 0.02}, {"mu": 0.01, "omega": 0.02}, {"omega": 0.01, "gamma": 0.02, "delta": 0.01}],
    "CRISTAL": [{"omega": 0.01, "delta": 0.02}, {"omega": 0.01, "phi": 0.02}, {"phi": 0.01, "gamma": 0.02}],
}


@pytest.mark.parametrize(("beamline", "which"), [(name, which) for name in MOVING for which in range(3)])
@pytest.mark.parametrize("energy_step", [0.0, 0.002])
def test_circles_that_move_together(beamline: str, which: int, energy_step: float) -> None:
    """Any number of circles, of sample and detector, and the energy as well: q of far voxels, and the steps at a peak
    off the middle, against matrices that are multiplied out frame by frame.
    """
    described, steps = BEAMLINES[beamline], MOVING[beamline][which]
    angles = {name: 5.0 + 7.0 * number for number, name in enumerate(described.circles)}
    detector = {"energy_kev": 9.0, "distance": 0.8, "pixel": (55e-6, 60e-6), "beam": (12.5, -30.25)}
    scan = RockingScan(
        described, 9.0, 0.8, (55e-6, 60e-6), angles, steps, energy_step_kev=energy_step, direct_beam=(12.5, -30.25)
    )
    expected = [brute_q(described, angles, steps, v, energy_step=energy_step, **detector) for v in VOXELS]
    np.testing.assert_allclose(scan.momentum_transfer(VOXELS), expected, rtol=1e-10, atol=1.0)
    peak = np.array([9.0, -40.0, 25.0])
    geometry = scan.geometry((9.0, -40.0, 25.0))
    wanted = brute_steps(peak, described, angles, steps, energy_step=energy_step, **detector)
    np.testing.assert_allclose(geometry.q_steps, wanted, atol=1e-7 * np.linalg.norm(wanted, axis=1).max())
    np.testing.assert_allclose(geometry.q(peak), scan.momentum_transfer(peak), rtol=1e-12)


def test_an_energy_scan_steps_along_q() -> None:
    """Nothing turns: Q grows in proportion to the energy, so the step is Q dE / E, along Q."""
    scan = replace(SCAN_54, steps_deg={}, energy_step_kev=0.003)
    geometry = scan.geometry()
    np.testing.assert_allclose(geometry.q_steps[0], geometry.q_centre * 0.003 / 9.0, rtol=1e-12)


def test_a_scan_within_the_detector_has_no_grid() -> None:
    """A crystal that turns about Q shows the same in every frame: no volume, and no voxel size is made of it."""
    about_q = Diffractometer(
        "q", sample=(Circle("omega", (0.0, np.cos(0.15), -np.sin(0.15))),), detector=(Circle("arm", (-1, 0, 0)),)
    )
    angles = {"omega": 0.0, "arm": np.degrees(0.3)}
    scan = RockingScan(about_q, 9.0, 0.5, (55e-6, 55e-6), angles, {"omega": 0.01})
    with pytest.raises(DataError, match="span no volume"):
        scan.geometry()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"angles_deg": {"theta": 0.0}}, "angle of chi, phi, delta, gamma is missing"),
        ({"angles_deg": {**SCAN_54.angles_deg, "nu": 1.0}}, "has no circle nu"),
        ({"steps_deg": {"delta": 0.01}}, "delta of the detector moves .* turns a circle of the sample"),
        ({"steps_deg": {}}, "nothing moves"),
        ({"steps_deg": {"theta": 0.0}}, "must be above zero"),
        ({"steps_deg": {"theta": 0.01, "nu": 0.01}}, "has no circle nu"),
        ({"energy_kev": -9.0}, "must be above zero"),
        ({"angles_deg": {**SCAN_54.angles_deg, "chi": float("nan")}}, "every angle finite"),
    ],
)
def test_impossible_scans_are_refused(wrong: dict[str, object], message: str) -> None:
    """Each says what is wrong with which number."""
    with pytest.raises(DataError, match=message):
        replace(SCAN_54, **wrong)
