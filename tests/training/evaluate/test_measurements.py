"""The real measurements of a comparison: read and prepared as the library does it."""

import numpy as np

from inphase.imaging.options import Options
from tests.flat import counts
from training.evaluate import measurements
from training.evaluate.measurements import RealCase, measured


def test_a_case_is_read_with_its_maps(tmp_path, monkeypatch):
    """Bad pixels of the map, cut to the region that the frames show, are masked in the prepared pattern."""
    monkeypatch.setattr(measurements, "REAL_DATA", tmp_path)
    dark = np.zeros((200, 200), np.uint8)
    dark[10 + 66 : 10 + 74, 20 + 86 : 20 + 94] = 2  # 15 columns from the peak
    np.save(tmp_path / "scan.npy", counts())
    np.save(tmp_path / "dark.npy", dark)
    options = Options(start="random", preprocess="auto")
    plain = RealCase("plain", "scan.npy", options)
    mapped = RealCase("mapped", "scan.npy", options, dark="dark.npy", roi="10:141,20:180")
    assert plain.present
    assert not RealCase("absent", "absent.npy", options).present
    masked = [int((measured(case).problem.mask == 1).sum()) for case in (plain, mapped)]
    assert masked[1] > masked[0]
