"""training.simulate.atomistic.shards: what is written is read back."""

import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pytest

from training.simulate.atomistic import shards
from training.simulate.atomistic.settings import AtomisticSettings

SETTINGS = AtomisticSettings(block_cells=9, strain=0.005)


def crystal(seed: int) -> shards.Crystal:
    """A made-up record with another value in every field."""
    random = np.random.default_rng(seed)
    obj = (random.random((32, 32, 32)) * np.exp(1j * random.normal(size=(32, 32, 32)))).astype(np.complex64)
    return shards.Crystal(
        obj, seed, 100 + seed, np.array([1, -2, seed]), random.random(26), random.random((3, 3)), random.random((3, 3)),
        random.random(3), 0.5 * seed,
    )  # fmt: skip


def test_everything_comes_back(tmp_path: Path) -> None:
    """Every field and every setting; the objects to half precision (2^-11 relative), their norm to 1e-4."""
    written = [crystal(s) for s in (3, 4)]
    shards.write(tmp_path / "a.h5", written, SETTINGS)
    assert shards.settings(tmp_path / "a.h5") == SETTINGS
    objects = shards.read(tmp_path / "a.h5")
    assert (objects.shape, objects.dtype) == ((2, 32, 32, 32), np.complex64)
    for found, wanted in zip(shards.crystals(tmp_path / "a.h5"), written, strict=True):
        np.testing.assert_allclose(found.objects, wanted.objects, rtol=2**-10, atol=1e-7)
        for field in dataclasses.fields(shards.Crystal)[1:]:
            np.testing.assert_array_equal(getattr(found, field.name), getattr(wanted, field.name))
    assert list(tmp_path.iterdir()) == [tmp_path / "a.h5"]


def test_written_again_the_objects_keep_their_bits(tmp_path: Path) -> None:
    """Rounding what was rounded changes nothing: a shard may be rewritten with every crystal."""
    shards.write(tmp_path / "a.h5", [crystal(1)], SETTINGS)
    shards.write(tmp_path / "b.h5", shards.crystals(tmp_path / "a.h5"), SETTINGS)
    np.testing.assert_array_equal(shards.read(tmp_path / "a.h5"), shards.read(tmp_path / "b.h5"))


def test_strain_free_twins_have_the_density_alone(tmp_path: Path) -> None:
    """Same amplitude, no phase."""
    objects = crystal(1).objects[None]
    np.testing.assert_array_equal(shards.strain_free(objects), np.abs(objects))


def test_a_reader_never_sees_half_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If writing fails midway the shard that was there is untouched."""
    shards.write(tmp_path / "a.h5", [crystal(1)], SETTINGS)
    before = (tmp_path / "a.h5").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(h5py.File, "create_dataset", full)
    with pytest.raises(OSError, match="no space"):
        shards.write(tmp_path / "a.h5", [crystal(2)], SETTINGS)
    assert (tmp_path / "a.h5").read_bytes() == before
