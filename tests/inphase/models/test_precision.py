"""Whether two executions of a network agree: real sessions of graphs that differ as executions may."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from inphase.models.precision import TOLERANCE, ImpreciseError, check, chi2, specimen
from inphase.models.repository import Repository
from inphase.models.session import Session
from inphase.pattern import Domain
from tests.toy import GRID, write_model

Object = NDArray[np.complex64]


def crystal(shape: tuple[int, ...] = GRID) -> Object:
    """What the specimen is the pattern of, written down once more."""
    axes = np.meshgrid(*((np.arange(n) - n // 2) / (n / 7.3) for n in shape), indexing="ij")
    half = (1.0, 0.9, 0.8)
    inside = np.logical_and.reduce([abs(x) < h for x, h in zip(axes, half, strict=False)]) & (sum(axes) < 1.5)
    obj: Object = np.where(inside, np.exp(0.8j * np.sin(2 * axes[0] + axes[-1])), 0).astype(np.complex64)
    return obj


def session(root: Path, obj: Object, **card: object) -> Session:
    """Of a network that draws this object whatever it sees."""
    write_model(root, obj, name="a", **card)
    return Session(Repository(root, "a").resolve(None), threads=1)


def rounded(obj: Object, bits: int) -> Object:
    """Amplitude and phase with so many bits of mantissa, cut off: bfloat16 has 7."""
    cut = np.uint32(0xFFFFFFFF << (23 - bits) & 0xFFFFFFFF)
    amplitude, phase = (
        (part.astype(np.float32).view(np.uint32) & cut).view(np.float32) for part in (np.abs(obj), np.angle(obj))
    )
    return (amplitude * np.exp(1j * phase)).astype(np.complex64)


@pytest.mark.parametrize("shape", [GRID, GRID[:2]])
def test_the_specimen_is_of_the_card(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """Counts on its grid, of a crystal of the size that it was made for; the same at every call."""
    reference = session(tmp_path, crystal(shape))
    found = specimen(reference.version.card)
    assert found.shape == shape
    assert found.intensity.sum() == pytest.approx(1e8, rel=0.01)
    np.testing.assert_array_equal(found.intensity, specimen(reference.version.card).intensity)
    assert chi2(reference, found) < 0.01 * chi2(session(tmp_path / "other", np.ones(shape, np.complex64)), found)


def test_a_network_for_moduli_gets_a_modulus(tmp_path: Path) -> None:
    """Its card would refuse counts."""
    assert specimen(session(tmp_path, crystal(), domain=["modulus"]).version.card).domain is Domain.MODULUS


def test_rounding_passes(tmp_path: Path) -> None:
    """An image of seven bits, as bfloat16 has them, is the same image."""
    reference = session(tmp_path / "float32", crystal())
    check(session(tmp_path / "bfloat16", rounded(crystal(), 7)), reference)


@pytest.mark.parametrize("fault", ["coarse", "shifted phase", "cropped"])
def test_another_image_is_refused(tmp_path: Path, fault: str) -> None:
    """What rounding to two bits, a wrong kernel and a lost border look like; the message has both figures."""
    obj = crystal()
    z = np.arange(GRID[0])[:, None, None]
    wrong = {
        "coarse": rounded(obj, 2),
        "shifted phase": obj * np.exp(0.5j * (z > 32)),
        "cropped": np.where(z < 40, obj, 0),
    }[fault].astype(np.complex64)
    with pytest.raises(ImpreciseError, match=rf"chi2 of its image .* in float32 on the CPU .* {TOLERANCE:.0%} apart"):
        check(session(tmp_path / "wrong", wrong), session(tmp_path / "right", obj))


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_no_image_is_refused(tmp_path: Path, value: float) -> None:
    """An overflow on the way leaves nothing that is finite, or nothing at all."""
    nothing = np.full(GRID, value, np.complex64)
    with pytest.raises(ImpreciseError, match="empty or not finite"):
        check(session(tmp_path / "wrong", nothing), session(tmp_path / "right", crystal()))
