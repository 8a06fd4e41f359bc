"""inphase.formats.tree: files as acquisition leaves them, links, names, filters."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from inphase.errors import DataError
from inphase.formats import read
from inphase.formats.tree import is_hdf5

VOLUME = np.random.default_rng(0).poisson(3, (6, 7, 8)).astype(np.uint32)
LATIN = "Länge_µ".encode("latin-1")


def master(folder: Path) -> Path:
    """An Eiger's master and two data files."""
    folder.mkdir(parents=True)
    with h5py.File(folder / "run_master.h5", "w") as file:
        for number, part in enumerate(np.array_split(VOLUME, 2), 1):
            name = f"run_data_{number:06d}.h5"
            file[f"entry/data/data_{number:06d}"] = h5py.ExternalLink(name, "/entry/data/data")
            with h5py.File(folder / name, "w") as data:
                data["entry/data/data"] = part
    return folder / "run_master.h5"


def test_the_links_of_a_linked_master_start_at_the_real_file(tmp_path: Path) -> None:
    """Only the master is linked into the working folder, over two levels and a linked folder:
    the data lie beside the real one.
    """
    master(tmp_path / "raw")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "first.h5").symlink_to("../raw/run_master.h5")
    (tmp_path / "work" / "second.h5").symlink_to(tmp_path / "work" / "first.h5")
    (tmp_path / "again").symlink_to("work")
    for path in ("work/first.h5", "work/second.h5", "again/second.h5"):
        assert np.array_equal(read(tmp_path / path).array, VOLUME)


def test_a_linked_master_opens_no_other_folder(tmp_path: Path) -> None:
    """The folder of the real file is the one that counts: what lies beside the link is out of reach."""
    real = master(tmp_path / "raw")
    with h5py.File(real, "a") as file:
        del file["entry/data/data_000002"]
        file["entry/data/data_000002"] = h5py.ExternalLink("../work/secret.h5", "/data")
    (tmp_path / "work").mkdir()
    with h5py.File(tmp_path / "work" / "secret.h5", "w") as file:
        file["data"] = VOLUME
    (tmp_path / "work" / "link.h5").symlink_to(real)
    with pytest.raises(DataError, match="outside its own folder"):
        read(tmp_path / "work" / "link.h5")


def left_by(writer: str, path: Path) -> Path:
    """A file whose writer ended without closing it."""
    code = (
        f"import h5py, numpy as np, os, sys\npath = sys.argv[1]\nvolume = np.load(sys.argv[2])\n{writer}\nos._exit(0)"
    )
    np.save(path.with_suffix(".npy"), VOLUME)
    subprocess.run([sys.executable, "-c", code, str(path), str(path.with_suffix(".npy"))], check=True, timeout=60)
    return path


def test_a_writer_that_died_in_swmr_mode_leaves_its_frames(tmp_path: Path) -> None:
    """The mark of an open writer is no reason to refuse: what was flushed is read, and that is said."""
    path = left_by(
        "file = h5py.File(path, 'w', libver='latest')\n"
        "data = file.create_dataset('data', (0, 7, 8), 'u4', maxshape=(None, 7, 8), chunks=(1, 7, 8))\n"
        "file.swmr_mode = True\n"
        "for n in range(4):\n    data.resize(n + 1, 0); data[n] = volume[n]; data.flush()",
        tmp_path / "a.h5",
    )
    scan = read(path)
    assert np.array_equal(scan.array, VOLUME[:4])
    assert "a.h5 is still being written, or its writer died: these are the frames so far" in scan.chosen


def test_a_file_marked_as_open_is_no_other_type(tmp_path: Path) -> None:
    """Without SWMR nothing may be read; the message says why and what takes the mark away."""
    path = left_by(
        "file = h5py.File(path, 'w', libver='latest')\nfile['data'] = volume\nfile.flush()", tmp_path / "a.h5"
    )
    assert is_hdf5(path)
    with pytest.raises(
        DataError, match=r"another program has it open for writing, or died .* `h5clear -s a\.h5`"
    ) as error:
        read(path)
    assert "not an HDF5" not in str(error.value)


def test_a_file_that_was_never_flushed_is_told_from_another_type(tmp_path: Path) -> None:
    """It begins as HDF5 does and holds nothing that can be read."""
    path = left_by("file = h5py.File(path, 'w')\nfile['data'] = np.ones((4, 70, 80))", tmp_path / "a.h5")
    with pytest.raises(DataError, match="its writer never closed it"):
        read(path)
    (tmp_path / "b.h5").write_bytes(b"no container of anything" * 100)
    assert not is_hdf5(tmp_path / "b.h5")
    with pytest.raises(DataError, match="not an HDF5 file"):
        read(tmp_path / "b.h5")


def test_a_signature_behind_a_user_block(tmp_path: Path) -> None:
    """MATLAB puts 512 bytes before it."""
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=2048) as file:
        file["data"] = VOLUME
    assert is_hdf5(tmp_path / "a.h5")
    assert np.array_equal(read(tmp_path / "a.h5").array, VOLUME)


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    """A group and a dataset with Latin-1 names: read, named so that any encoding takes it, and found by that name."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = h5py.Group(h5py.h5g.create(file.id, LATIN))
        group["rest"] = VOLUME[:2]
        space = h5py.h5s.create_simple(VOLUME.shape)
        h5py.h5d.create(group.id, LATIN, h5py.h5t.STD_U32LE, space).write(h5py.h5s.ALL, h5py.h5s.ALL, VOLUME)
        file.id.links.create_soft(b"\xe4lias", b"/" + LATIN + b"/rest")
    scan = read(tmp_path / "a.h5")
    assert np.array_equal(scan.array, VOLUME)
    name = LATIN.decode("latin-1")
    assert scan.chosen.encode().decode() == scan.chosen
    assert np.array_equal(read(tmp_path / "a.h5", dataset=f"{name}/{name}").array, VOLUME)
    assert np.array_equal(read(tmp_path / "a.h5", dataset="älias").array, VOLUME[:2])
    with pytest.raises(DataError, match=r"holds no dataset 'no'; it holds .*Länge_µ/Länge_µ") as error:
        read(tmp_path / "a.h5", dataset="no")
    str(error.value).encode()


def test_types_that_numpy_does_not_have_hide_nothing(tmp_path: Path) -> None:
    """A dataset of times, an empty one, one of a single number and a named type beside the measurement."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        h5py.h5d.create(file.id, b"time", h5py.h5t.UNIX_D32LE, h5py.h5s.create_simple((3, 3, 3)))
        file["empty"] = h5py.Empty("f4")
        file["number"] = 1.0
        file["none"] = np.zeros((0, 7, 8))
        file["type"] = np.dtype("f8")
        file["data"] = VOLUME
    assert np.array_equal(read(tmp_path / "a.h5").array, VOLUME)
    for name in ("time", "empty", "number", "none", "type"):
        with pytest.raises(DataError, match=r"a\.h5"):
            read(tmp_path / "a.h5", dataset=name)


def test_a_dangling_link_is_named(tmp_path: Path) -> None:
    """Where nothing is left to read, the message says which file is not there, or which dataset it does not hold."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["1.1/measurement/eiger"] = h5py.ExternalLink("eiger_0000.h5", "/entry_0000/data")
    with pytest.raises(DataError, match=r"'1\.1/measurement/eiger' lies in the file eiger_0000\.h5, which is missing"):
        read(tmp_path / "a.h5")
    with h5py.File(tmp_path / "eiger_0000.h5", "w") as file:
        file["entry_0001/data"] = VOLUME
    with pytest.raises(DataError, match=r"eiger_0000\.h5, which has no '/entry_0000/data'"):
        read(tmp_path / "a.h5")


def test_a_dataset_of_an_absent_filter(tmp_path: Path) -> None:
    """The number and the name that the file gives, before anything is decoded."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=VOLUME, chunks=(1, 7, 8), compression="lzf")
    content = path.read_bytes()
    assert content.count(b"lzf\0") == 1
    place = content.index(b"lzf\0")
    begin = content.rindex((32000).to_bytes(2, "little"), 0, place)
    path.write_bytes(content[:begin] + (32099).to_bytes(2, "little") + content[begin + 2 :])
    with pytest.raises(
        DataError, match=r"dataset '/data': is compressed with the HDF5 filter 32099 \(lzf\), which is not"
    ):
        read(path)
