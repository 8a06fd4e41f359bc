"""pty-chi on the Siemens star, in a process of its own: `python -m benchmarks.ptycho_rival SCAN OUT EPOCHS`.

Its extended ptychographic iterative engine, on one thread, from what ours begins from.
"""

import sys
import time
from pathlib import Path

import numpy as np
import ptychi.api
import torch
from ptychi.api.task import PtychographyTask

from inphase import ptycho

_SIDE = 480  # pixels of its object, whose middle is position (0, 0)


def main(scan: str, out: str, epochs: int) -> None:
    """Writes object, probe, windows' corners on the object, and CPU seconds of setting up and of running."""
    torch.set_num_threads(1)
    measured = ptycho.read(scan)
    assert measured.probe is not None
    patterns = measured.patterns.astype(np.float32)
    low, high = measured.positions_px.min(axis=0), measured.positions_px.max(axis=0)
    positions = measured.positions_px - (low + high) / 2
    photons = patterns.sum(axis=(1, 2)).mean()
    probe = measured.probe * np.sqrt(photons / np.square(np.abs(measured.probe)).sum())
    options = ptychi.api.EPIEOptions()
    options.data_options.data = patterns
    options.object_options.initial_guess = torch.ones(1, _SIDE, _SIDE, dtype=torch.complex64)
    options.object_options.pixel_size_m = 1e-8
    options.probe_options.initial_guess = torch.from_numpy(probe[None].astype(np.complex64))
    options.probe_position_options.position_y_px = torch.from_numpy(positions[:, 0].astype(np.float32))
    options.probe_position_options.position_x_px = torch.from_numpy(positions[:, 1].astype(np.float32))
    options.reconstructor_options.num_epochs = epochs
    options.reconstructor_options.batch_size = 8
    options.reconstructor_options.default_device = ptychi.api.Devices.CPU
    begin = time.process_time()
    task = PtychographyTask(options)
    ready = time.process_time()
    task.run()
    seconds = time.process_time() - ready
    np.savez(
        Path(out),
        object=task.get_data_to_cpu("object", as_numpy=True)[0],
        probe=task.get_data_to_cpu("probe", as_numpy=True)[0],
        corners=positions + _SIDE // 2 - np.asarray(measured.shape) // 2,
        seconds=[ready - begin, seconds],
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
