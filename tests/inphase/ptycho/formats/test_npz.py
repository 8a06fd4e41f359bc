"""npz files of several programs, and what they leave open."""

from pathlib import Path

import numpy as np
import pytest

from inphase.errors import DataError, TooLargeError
from inphase.formats.scan import Limits
from inphase.ptycho.engine import reconstruct
from inphase.ptycho.formats import read
from inphase.ptycho.options import Options
from tests.inphase.ptycho.scenes import small

SCENE = small(frames=5)
COUNTS = SCENE.counts.astype(np.uint32)
CORNER = np.fft.ifftshift(COUNTS, axes=(1, 2))
ROWS, COLUMNS = SCENE.positions.T


def saved(tmp_path: Path, **arrays: np.ndarray) -> Path:
    """A file."""
    path = tmp_path / "scan.npz"
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    "arrays",
    [
        {"diff3d": COUNTS, "ycoords": ROWS, "xcoords": COLUMNS, "probeGuess": SCENE.probe[0]},
        {"diff3d": np.sqrt(COUNTS), "ycoords": ROWS, "xcoords": COLUMNS, "probeGuess": SCENE.probe[0]},
        {"diffraction": np.moveaxis(COUNTS, 0, 2), "ycoords": ROWS, "xcoords": COLUMNS, "probeGuess": SCENE.probe[0]},
        {"data": CORNER[None], "scan": SCENE.positions[None], "probe": SCENE.probe[None, None]},
    ],
    ids=["PtychoPINN", "PtychoPINN, amplitudes", "PtychoPINN, frames last", "tike, DC in the corner"],
)
def test_same_scan_in_several_dialects(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """One measurement; whatever was altered is noted."""
    found = read(saved(tmp_path, **arrays))
    np.testing.assert_allclose(found.patterns, COUNTS, rtol=1e-5)
    np.testing.assert_allclose(found.positions_px, SCENE.positions)
    assert found.probe is not None
    np.testing.assert_allclose(found.probe, SCENE.probe, rtol=1e-5)
    told = " ".join(found.notes)
    assert ("squared" in told) == (arrays.get("diff3d", COUNTS).dtype.kind == "f")
    assert ("corner" in told) == ("data" in arrays)
    assert ("last axis" in told) == ("diffraction" in arrays)


@pytest.mark.parametrize("corner", [False, True])
def test_beam_with_a_dark_middle_is_centred(tmp_path: Path, corner: bool) -> None:
    """The ring of a zone plate, of two thirds of half the frame, around DC in the centre or in the corner."""
    rows, columns = np.mgrid[-32:32, -32:32]
    ring = np.where(np.abs(np.hypot(rows, columns) - 21) < 6, 1000, 3).astype(np.uint32)
    frames = np.broadcast_to(np.fft.ifftshift(ring) if corner else ring, (25, 64, 64))
    found = read(saved(tmp_path, data=frames, scan=SCENE.positions))
    np.testing.assert_array_equal(found.patterns[0], ring)
    assert any("corner" in note for note in found.notes) == corner


def test_positions_in_metres_need_pixels(tmp_path: Path) -> None:
    """ptychodus gives them, PtychoNN's files need energy, distance and pixel from the caller."""
    pixel = 1e-10 * 2 / (32 * 50e-6)
    names = {"probe_position_y_m": ROWS * pixel, "probe_position_x_m": COLUMNS * pixel}
    sizes = {"object_pixel_height_m": np.array(pixel), "object_pixel_width_m": np.array(pixel)}
    np.testing.assert_allclose(read(saved(tmp_path, patterns=COUNTS, **names, **sizes)).positions_px, SCENE.positions)
    bare = saved(tmp_path, reciprocal=COUNTS, position=SCENE.positions * pixel)
    with pytest.raises(DataError, match="give energy"):
        read(bare)
    found = read(bare, energy_kev=12.39841984, distance_m=2.0, detector_pixel_m=50e-6)
    np.testing.assert_allclose(found.positions_px, SCENE.positions, rtol=1e-6)
    assert found.pixel_m == pytest.approx((pixel, pixel))
    assert any("taken for metres" in note for note in found.notes)


@pytest.mark.parametrize(
    "given",
    [
        {"energy_kev": 12.4},
        {"distance_m": 2.0},
        {"detector_pixel_m": 50e-6, "energy_kev": 12.4},
        {"focus_m": 1e-3},
        {"focus_m": float("inf")},
    ],
)
def test_numbers_that_would_be_of_no_effect_are_refused(tmp_path: Path, given: dict[str, float]) -> None:
    """The file has neither of the others: without them there is no size of a pixel, which the caller waits for."""
    path = saved(tmp_path, data=COUNTS, scan=SCENE.positions)
    with pytest.raises(DataError, match=r"tells no .*give what lacks"):
        read(path, **given)  # type: ignore[arg-type]


def test_positions_in_micrometres_are_not_taken_for_pixels(tmp_path: Path) -> None:
    """Steps below a pixel, where the unit is open; who says that they are pixels is told how near they lie."""
    path = saved(tmp_path, data=COUNTS, scan=SCENE.positions * 0.2)
    with pytest.raises(DataError, match="are they in um or mm"):
        read(path)
    beam = {"energy_kev": 12.39841984, "distance_m": 2.0, "detector_pixel_m": 50e-6}
    micrometres = saved(tmp_path, data=COUNTS, scan=SCENE.positions * 0.125)
    with pytest.raises(DataError, match=r"Probably they are in um .*--unit um"):
        read(micrometres, **beam)
    np.testing.assert_allclose(read(micrometres, unit="um", **beam).positions_px, SCENE.positions, rtol=1e-6)
    path = saved(tmp_path, data=COUNTS, scan=SCENE.positions * 0.2)
    assert "is their unit right" in " ".join(read(path, unit="pixel").notes)


@pytest.mark.parametrize("mark", [2**16 - 1, 2**32 - 1])
@pytest.mark.parametrize("corner", [False, True])
def test_gaps_do_not_hide_where_dc_is(tmp_path: Path, corner: bool, mark: int) -> None:
    """A gap through the middle of the patterns, and one along their edges, of marks that outshine every count."""
    frames = CORNER.copy() if corner else COUNTS.copy()
    frames[:, 15:17] = frames[:, :, :2] = mark
    found = read(saved(tmp_path, data=frames, scan=SCENE.positions))
    assert any("corner" in note for note in found.notes) == corner
    gaps = (found.mask != 0).all(axis=0)
    assert gaps.sum() == 4 * 32 - 4
    np.testing.assert_array_equal(found.patterns[:, ~gaps], COUNTS[:, ~gaps])


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"frames": COUNTS, "scan": SCENE.positions}, "holds no patterns under"),
        ({"data": COUNTS, "places": SCENE.positions}, "holds no positions under"),
        ({"data": COUNTS[:-1], "scan": SCENE.positions}, "24 patterns and 25 positions"),
        ({"data": COUNTS[0], "scan": SCENE.positions}, "three axes"),
        ({"data": COUNTS, "scan": SCENE.positions.T}, r"\(n, 2\)"),
        ({"data": COUNTS, "ycoords": ROWS, "xcoords": COLUMNS[:-1]}, "25 numbers"),
        ({"data": np.array([None] * 3), "scan": SCENE.positions}, "objects"),
        ({"data": COUNTS + 1j, "scan": SCENE.positions}, "patterns are real numbers"),
        ({"data": COUNTS.astype(str), "scan": SCENE.positions}, "patterns are real numbers"),
        ({"data": COUNTS, "scan": SCENE.positions.astype(str)}, "positions are real numbers"),
        ({"data": COUNTS, "scan": SCENE.positions + 1j}, "positions are real numbers"),
        ({"data": COUNTS, "scan": SCENE.positions, "mask": np.full((32, 32), "x")}, "a mask is true or not zero"),
        ({"data": COUNTS, "scan": SCENE.positions, "probe": np.full((32, 32), "x")}, "complex numbers"),
    ],
)
def test_what_is_missing_or_does_not_fit_is_told(tmp_path: Path, arrays: dict[str, np.ndarray], says: str) -> None:
    """With the names that are looked for, and those that there are."""
    with pytest.raises(DataError, match=says):
        read(saved(tmp_path, **arrays))


def test_file_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    """Before it is read."""
    with pytest.raises(TooLargeError):
        read(saved(tmp_path, data=COUNTS, scan=SCENE.positions), limits=Limits(1000))


def test_real_siemens_star_is_found(real_data: Path) -> None:
    """The published guess of the probe has a ten-thousandth of the photons; plain ePIE reaches R 0.20 in 16 iterations,
    and 60 of 516 frames decide that the positions are as given.
    """
    found = read(real_data / "siemens_star/siemens_star_ptycho_v1.npz")
    assert found.patterns.shape == (516, 128, 128)
    near = np.abs(found.positions_px - np.median(found.positions_px, axis=0)).max(axis=1) < 40
    result = reconstruct(found.only(near), Options("8*EPIE", turn=False, batch=4))
    assert any("scaled" in note for note in result.report.notes)
    assert result.report.r_factor < 0.2


@pytest.mark.parametrize("corner", [False, True])
@pytest.mark.parametrize("own", [False, True])
def test_dark_and_flat_belong_to_the_patterns(tmp_path: Path, *, own: bool, corner: bool) -> None:
    """In the npz, or in files of their own that go before it; they are turned with the patterns where DC is in the
    corner, also where the offset of a part of the detector is brighter than the scattering.
    """
    generator = np.random.default_rng(0)
    flat, dark = generator.uniform(0.8, 1.2, (32, 32)), np.full((32, 32), 1000.0)
    dark[:2] = dark[-2:] = dark[:, :2] = dark[:, -2:] = 90_000
    flat[3, 4] = 0
    turn = np.fft.fftshift if corner else np.asarray
    raw = turn(np.rint(COUNTS * flat / flat[flat > 0].mean() + dark).astype(np.uint32), *([(1, 2)] if corner else []))
    maps, beside = {"dark": turn(dark), "flat": turn(flat)}, {}
    if not own:
        for name, chip in maps.items():
            np.save(tmp_path / f"{name}.npy", np.pad(chip, 3))
            beside[name] = str(tmp_path / f"{name}.npy")
        maps, beside["roi"] = {"dark": np.zeros((32, 32))}, "3:35,3:35"
    path = saved(tmp_path, data=raw, scan=SCENE.positions, **maps)
    found = read(path, unit="pixel", **beside)  # type: ignore[arg-type]
    known = flat > 0
    assert any("corner" in note for note in found.notes) == corner
    np.testing.assert_array_equal(found.mask[0] == 0, known)
    np.testing.assert_allclose(found.counts()[:, known], COUNTS[:, known], atol=1.5)  # rounded, and divided
    if not own:
        with pytest.raises(DataError, match=r"scan.npz: the dark map is \(38, 38\)"):
            read(path, unit="pixel", dark=beside["dark"])
        with pytest.raises(DataError, match="give one of the two maps"):
            read(path, unit="pixel", roi="0:2,0:2")


@pytest.mark.parametrize(
    ("maps", "words"),
    [
        ({"dark": np.eye(32, dtype=bool)}, "the dark map holds bool"),
        ({"dark": np.full((32, 32), "x")}, "the dark map holds <U1"),
        ({"flat": np.zeros((32, 32))}, "the flat field has no pixel above zero"),
    ],
)
def test_maps_that_are_none_are_refused_with_the_name_of_the_file(
    tmp_path: Path, maps: dict[str, np.ndarray], words: str
) -> None:
    """Before anything is asked of the frames by them."""
    with pytest.raises(DataError, match=rf"scan\.npz: {words}"):
        read(saved(tmp_path, data=COUNTS, scan=SCENE.positions, **maps), unit="pixel")


@pytest.mark.parametrize(
    ("frames", "positions", "words"),
    [
        (0, SCENE.positions, "patterns are real numbers .* at least two of each"),
        (1, SCENE.positions, "patterns are real numbers .* at least two of each"),
        (25, np.full((25, 2), 7.0), "all positions lie within 0 pixels.*nothing was scanned"),
        (25, np.full((25, 2), np.nan), "only 0 of 25 positions are finite"),
    ],
)
def test_where_nothing_moves_nobody_is_asked_for_the_unit(
    tmp_path: Path, frames: int, positions: np.ndarray, words: str
) -> None:
    """What is wrong is said instead."""
    with pytest.raises(DataError, match=words):
        read(saved(tmp_path, data=COUNTS[:frames], scan=positions[:frames]))
