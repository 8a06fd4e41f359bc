"""What runs in the environment of a beamline: a RunEngine, a detector that writes HDF5, and the example of the page.

python beamline.py FOLDER, with the blocks of docs/how-to/reconstruct-bluesky-runs.md as JSON on standard input. Nothing
of inphase but its client is there.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import h5py
import numpy as np

DATASET = "/entry/data/data"


class Done:
    """A status of bluesky that has ended well."""

    done = success = True

    def add_callback(self, callback: Any) -> None:
        """Call it at once."""
        callback(self)

    def exception(self, timeout: float | None = 0.0) -> None:
        """There is none."""


class Motor:
    """Moves at once."""

    parent = None

    def __init__(self, name: str) -> None:
        self.name, self.position = name, 0.0

    def set(self, value: float) -> Done:
        """Move."""
        self.position = value
        return Done()

    def read(self) -> dict[str, Any]:
        """Where it is."""
        return {self.name: {"value": self.position, "timestamp": 0.0}}

    def describe(self) -> dict[str, Any]:
        """Of one number."""
        return {self.name: {"source": "simulation", "dtype": "number", "shape": []}}

    read_configuration = describe_configuration = lambda self: {}


class Eiger:
    """Writes the frames of a crystal, one for each trigger, as areaDetector does: a file that Tiled is told of."""

    parent, name = None, "eiger"

    def __init__(self, folder: Path, counts: np.ndarray[Any, Any]) -> None:
        self._folder, self._counts, self._runs = folder, counts, 0
        self._file: h5py.File | None = None

    def stage(self) -> list[Any]:
        """A new file."""
        self._runs += 1
        self._path, self._taken, self._told = self._folder / f"run_{self._runs}.h5", 0, 0
        rows, columns = self._counts.shape[1:]
        self._file = h5py.File(self._path, "w", libver="latest")
        self._file.create_dataset(
            DATASET, (0, rows, columns), self._counts.dtype, maxshape=(None, rows, columns), chunks=(1, rows, columns)
        )
        self._file.swmr_mode = True
        return [self]

    def unstage(self) -> list[Any]:
        """The file is complete."""
        assert self._file is not None
        self._file.close()
        return [self]

    def trigger(self) -> Done:
        """A frame."""
        assert self._file is not None
        dataset = self._file[DATASET]
        dataset.resize(self._taken + 1, axis=0)
        dataset[self._taken] = self._counts[self._taken]
        dataset.flush()
        self._taken += 1
        return Done()

    def read(self) -> dict[str, Any]:
        """Nothing but what is in the file."""
        return {}

    def describe(self) -> dict[str, Any]:
        """Frames outside of the documents."""
        return {
            self.name: {
                "source": "simulation", "dtype": "array", "dtype_numpy": self._counts.dtype.str,
                "shape": [1, *self._counts.shape[1:]], "external": "STREAM:",
            }
        }  # fmt: skip

    def collect_asset_docs(self, index: int | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        """The file, and which frames of it are new."""
        uid = f"file-{self._runs}-{id(self)}"
        if not self._told:
            yield "stream_resource", {
                "uid": uid, "data_key": self.name, "mimetype": "application/x-hdf5",
                "uri": f"file://localhost{self._path}",
                "parameters": {"dataset": DATASET, "chunk_shape": (1, *self._counts.shape[1:])},
            }  # fmt: skip
        new = {"start": self._told, "stop": self._taken}
        self._told = self._taken
        yield "stream_datum", {
            "uid": f"{uid}/{self._taken}", "stream_resource": uid, "descriptor": "", "indices": new,
            "seq_nums": {"start": 0, "stop": 0},
        }  # fmt: skip

    read_configuration = describe_configuration = lambda self: {}


def main() -> None:
    """Three runs: a rocking curve, one that is aborted, and a map."""
    folder = Path(sys.argv[1])
    place, startup, measurement, image = json.load(sys.stdin)
    counts = np.load(folder / "counts.npy")
    names: dict[str, Any] = {}
    exec(place, names)
    exec(startup, names)
    engine, first, told = names["RE"], names["reconstruction"], []
    detector, motor, frames = Eiger(folder, counts), Motor("th"), len(counts)
    first._told = told.append
    (uid,) = engine(bp.scan([detector], motor, 0.04, 0.04 + 0.005 * (frames - 1), frames))

    def lost() -> Iterator[Any]:
        yield from bps.open_run()
        raise RuntimeError("beam lost")

    with suppress(RuntimeError):
        engine(lost())
    engine(bp.list_scan([detector], motor, [0.0, 1.0, 3.0, 4.0]))
    first.close()
    exec(measurement, names)
    again = names["reconstruction"].reconstruct(uid)
    names["reconstruction"].close()
    names |= {"uid": uid, "job": again.job}
    exec(image, names)
    np.save(folder / "amplitude.npy", names["amplitude"])
    arrays = {name: list(names["image"][name].shape) for name in names["image"]}
    outcomes = [vars(outcome) for outcome in (*told, again)]
    loaded = sorted(name for name in ("torch", "inphase.formats.scan") if name in sys.modules)
    document = names["image"].metadata["document"]
    (folder / "told.json").write_text(
        json.dumps({"uid": uid, "outcomes": outcomes, "arrays": arrays, "loaded": loaded, "document": document})
    )


if __name__ == "__main__":
    main()
