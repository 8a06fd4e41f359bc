"""service.sandbox reads ptychographic measurements as it reads rocking curves: what comes out is the library's."""

import os
import shutil
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from inphase import ptycho
from inphase.errors import DataError, TooLargeError
from inphase.formats.scan import Limits
from inphase.ptycho.formats import read_as
from inphase.ptycho.formats.contents import Given
from service.sandbox.answer import AnswerError, Contents, Writer
from service.sandbox.order import PtychogramOrder
from service.sandbox.sandbox import Sandbox
from tests.inphase.ptycho.scenes import small

SCENE = small(frames=5)
COUNTS = SCENE.counts.astype(np.uint16)
METRES = SCENE.positions * 1e-6
NEAR = Given(energy_kev=9.0, distance_m=0.5, detector_pixel_m=1e-6, focus_m=np.inf)
MOST = 2**24


def archive(root: Path) -> PtychogramOrder:
    """DC in the corner, a bad pixel, a frame without counts, a probe of two modes."""
    frames, mask = COUNTS.astype(np.float32), np.zeros((32, 32), np.uint8)
    frames[3], mask[4, 5] = 0, 1
    probe = np.concatenate([SCENE.probe, SCENE.probe / 2])
    held = {"data": np.fft.ifftshift(frames, axes=(1, 2)), "scan": SCENE.positions, "probe": probe, "mask": mask}
    np.savez_compressed(root / "scan.npz", **held)
    return PtychogramOrder(root / "scan.npz", Given(unit="pixel"))


def cxi(root: Path) -> PtychogramOrder:
    """In the near field."""
    with h5py.File(root / "scan.cxi", "w") as file:
        file["entry_1/instrument_1/detector_1/data"] = COUNTS
        file["entry_1/sample_1/geometry_1/translation"] = np.column_stack(
            [-METRES[:, 1], -METRES[:, 0], 0 * METRES[:, 0]]
        )
    return PtychogramOrder(root / "scan.cxi", NEAR)


def pair(root: Path) -> PtychogramOrder:
    """Of ptychodus, whose positions lie in the file beside."""
    with h5py.File(root / "fly_dp.hdf5", "w") as patterns, h5py.File(root / "fly_para.hdf5", "w") as rest:
        patterns["dp"] = COUNTS
        rest["probe_position_y_m"], rest["probe_position_x_m"] = METRES.T
        rest["object"] = np.ones((4, 4), complex)
        rest["object"].attrs.update(pixel_height_m=1e-6, pixel_width_m=1e-6)
    return PtychogramOrder(root / "fly_dp.hdf5")


def sent(order: PtychogramOrder, scratch: Path) -> PtychogramOrder:
    """The same file as a body."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    path = Path(shutil.copy(order.path, folder / f"body{order.path.suffix}"))
    return replace(order, path=path, sent=True)


def check_same(found: ptycho.Measurement, wanted: ptycho.Measurement) -> None:
    """Bit by bit, in whatever was altered and noted as well."""
    for name in ("patterns", "positions_px", "mask", "probe", "ids"):
        one, other = getattr(found, name), getattr(wanted, name)
        assert (one is None) == (other is None), name
        if one is not None:
            assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes()), name
    assert found.optics == wanted.optics
    assert found.notes == wanted.notes


@pytest.mark.parametrize("made", [archive, cxi, pair])
def test_a_measurement_is_the_one_that_is_read_in_process(
    sandbox: Sandbox, root: Path, scratch: Path, made: Any
) -> None:
    """Named, and sent where it is one file; all that it takes is declared before it is allocated."""
    order: PtychogramOrder = made(root)
    wanted, declared = read_as(order.path, order.given), []
    found = sandbox.read_ptychogram(order, lambda *size: declared.append(size))
    check_same(found, wanted)
    assert found.source == str(order.path)
    assert declared[-1][1] >= wanted.patterns.nbytes
    if made is pair:
        with pytest.raises(DataError, match=r"^body.hdf5: .*positions"):
            sandbox.read_ptychogram(sent(order, scratch))
        return
    found = sandbox.read_ptychogram(sent(order, scratch))
    check_same(found, wanted)
    assert found.source == f"body{order.path.suffix}"


def test_what_is_not_admitted_is_not_allocated(sandbox: Sandbox, root: Path) -> None:
    """An archive of 200 kB that unpacks to 200 MB, by whoever asks and by the limits."""
    with zipfile.ZipFile(root / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as held:
        for name, shape in (("data", (100, 512, 512)), ("scan", (100, 2))):
            with held.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, np.zeros(shape))
    assert (root / "bomb.npz").stat().st_size < 2**20

    def refuse(elements: int, nbytes: int) -> None:
        raise RuntimeError(f"{nbytes} bytes are too many")

    with pytest.raises(RuntimeError, match="209716800 bytes are too many"):
        sandbox.read_ptychogram(PtychogramOrder(root / "bomb.npz"), refuse)
    with pytest.raises(TooLargeError, match="200 MiB, above the limit of 16 MiB"):
        sandbox.read_ptychogram(PtychogramOrder(root / "bomb.npz", limits=Limits(MOST)))


def test_arrays_that_fit_alone_are_refused_together(sandbox: Sandbox, root: Path) -> None:
    """Chunks of one file, each below the limit."""
    with h5py.File(root / "chunks.ptyd", "w") as file:
        for number in range(3):
            file[f"chunks/{number}/data"] = COUNTS
            file[f"chunks/{number}/positions"] = METRES
            file[f"chunks/{number}/indices"] = np.arange(25) + 25 * number
    order = PtychogramOrder(root / "chunks.ptyd", replace(NEAR, focus_m=None), Limits(COUNTS.nbytes * 5 // 2))
    with pytest.raises(TooLargeError, match="above the limit"):
        sandbox.read_ptychogram(order)
    assert len(sandbox.read_ptychogram(replace(order, limits=Limits(MOST)))) == 75


def test_a_file_opens_nothing_beside_it_that_was_sent(sandbox: Sandbox, root: Path, scratch: Path) -> None:
    """A body that leads to a file of the data roots, which other processes may read."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    (folder / "body.npz").symlink_to(archive(root).path)
    order = PtychogramOrder(folder / "body.npz", limits=Limits(MOST, (root, scratch)), sent=True)
    with pytest.raises(DataError, match=r"Permission denied|may not be read") as caught:
        sandbox.read_ptychogram(order)
    assert str(scratch) not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"positions_px": np.full((25, 2), np.inf)}, {"mask": np.full((1, 32, 32), 9, np.uint8)},
        {"probe": np.ones((1, 16, 16), np.complex64)}, {"ids": np.arange(3)}, {"patterns": COUNTS[0]},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_an_answer_that_is_no_measurement_is_found_out(change: dict[str, Any]) -> None:
    """Whatever a process that was taken over leaves."""
    measured = ptycho.from_arrays(COUNTS, SCENE.positions, probe=SCENE.probe)
    answer = os.memfd_create("answer")
    try:
        Writer(answer).ptychogram(replace(measured, **change))
        with pytest.raises(AnswerError, match="not valid"):
            Contents(answer, MOST).ptychogram()
    finally:
        os.close(answer)
