"""The measurement that a look at a live ptychographic scan is made of, from the batches in which its frames came."""

import numpy as np
from numpy.typing import NDArray

from inphase.formats import RawScan
from inphase.formats.maps import corrections_of
from inphase.live.ptychogram import Ptychogram
from inphase.ptycho.formats.contents import Given
from inphase.ptycho.measurement import Measurement
from service.jobs.store import Arrays, Store


def measured_of(store: Store, scan: str, arrays: Arrays, source: str, *, whole: bool) -> Measurement:
    """The frames that the input of a look names (`service.scans.ptycho`). whole: they are all of the scan, and lie
    together. Raises StoreError where some are gone, DataError where no image can be made of them.
    """
    frames: NDArray[np.generic] | None = None
    for number, batch in enumerate(arrays["batches"].tolist()):
        held = store.read(scan, batch)["frames"]
        if frames is None:
            frames = np.empty((len(arrays["places"]), *held.shape[1:]), held.dtype)
        mine = arrays["batch"] == number
        frames[mine] = held[arrays["index"][mine]]
    assert frames is not None, "a look has frames"
    template = RawScan(frames[0], None, "", "", mask=arrays.get("mask"), corrections=corrections_of(arrays, source))
    unit = str(arrays["unit"])
    beam = Given.of_numbers(arrays["beam"], unit).optics()
    field = Ptychogram.made(template, None, beam, unit, arrays.get("probe"))
    return field.measurement(frames, arrays["positions"], arrays["places"], source, part=not whole)
