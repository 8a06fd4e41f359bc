"""FIO files: positions, columns, and what is damaged in them."""

from pathlib import Path

import numpy as np
import pytest

from inphase.errors import DataError
from inphase.formats.fio import read_fio


@pytest.mark.parametrize("text", ["", "hello\n", "%d\n Col 1 om DOUBLE\n 1.0 2.0\n", "%d\n Col 1 om DOUBLE\n x\n"])
def test_damaged_fio(tmp_path: Path, text: str) -> None:
    """No sections, or rows that do not fit the columns."""
    (tmp_path / "a.fio").write_text(text)
    with pytest.raises(DataError, match=r"a\.fio"):
        read_fio(tmp_path / "a.fio")


def test_positions_and_columns_by_name(tmp_path: Path) -> None:
    """Parameters that are numbers, and the columns in their order; a motor that is scanned is read from its column."""
    (tmp_path / "a.fio").write_text(
        "! a comment\n%c\nscan om\n%p\nom = 5.5\ndel = 30.25\nsample = gold\n%d\n Col 1 om DOUBLE\n Col 2 e4m FLOAT\n"
        " 10.0 1e3\n 10.1 2e3\n"
    )
    scan = read_fio(tmp_path / "a.fio")
    assert scan.positions == {"om": 5.5, "del": 30.25}
    assert list(scan.columns) == ["om", "e4m"]
    np.testing.assert_array_equal(scan.columns["e4m"], [1e3, 2e3])
    np.testing.assert_array_equal(scan.recorded("om"), [10.0, 10.1])
    np.testing.assert_array_equal(scan.recorded("del"), [30.25])
    assert scan.recorded("mu") is None
    assert scan.remarks == ()


def test_a_row_that_does_not_fit_is_told_and_not_used(tmp_path: Path) -> None:
    """A point cut off by a crash: NaN in every column, and the number of its line."""
    (tmp_path / "a.fio").write_text("%d\n Col 1 om DOUBLE\n Col 2 e4m DOUBLE\n 1 2\n 3\n 5 6\n")
    scan = read_fio(tmp_path / "a.fio")
    np.testing.assert_array_equal(scan.columns["om"], [1, np.nan, 5])
    np.testing.assert_array_equal(scan.columns["e4m"], [2, np.nan, 6])
    assert len(scan.remarks) == 1
    assert "line 5: expected 2 numbers" in scan.remarks[0]
