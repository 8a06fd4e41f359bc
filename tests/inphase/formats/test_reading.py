"""What a caller may say about how a measurement is read."""

import re
from typing import Any

import numpy as np
import pytest

from inphase.errors import DataError
from inphase.formats.reading import Reading, parse_numbers


def test_what_is_given_is_known_as_text() -> None:
    """For the placeholders of a description; scan 0 is a scan."""
    assert Reading(scan=0, sample="gold").known() == {"scan": "0", "sample": "gold"}
    assert Reading().known() == {}


@pytest.mark.parametrize("value", ["", ".", "..", "a/b", "a\0b"])
def test_a_name_that_leads_elsewhere_is_refused(value: str) -> None:
    """A sample and a detector are one name of a path."""
    with pytest.raises(DataError, match=r"sample: .* is no name"):
        Reading(sample=value).known()
    with pytest.raises(DataError, match=r"detector: .* is no name"):
        Reading(detector=value).known()


def test_numbers_set_by_hand() -> None:
    """name=number pairs, blanks allowed."""
    assert parse_numbers(["distance=1.83", "energy = 9"]) == {"distance": 1.83, "energy": 9.0}


@pytest.mark.parametrize("pair", ["distance", "distance=", "distance=far", "distance=nan", "distance=inf"])
def test_what_is_no_number_is_refused(pair: str) -> None:
    with pytest.raises(DataError, match="write a name and a number"):
        parse_numbers([pair])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"roi": ((0, 4), (0, 4))}, "roi takes a text such as '0:256,0:256', not the tuple"),
        ({"dataset": 5}, "dataset takes a text, not the int 5"),
        ({"beamline": 5}, "beamline takes a text"),
        ({"sample": b"s"}, "sample takes a text"),
        ({"detector": 1}, "detector takes a text"),
        ({"scan": "54"}, "scan takes a whole number, not the str '54'"),
        ({"set": {"distance": "1.83"}}, "takes a number, not the str"),
    ],
)
def test_a_value_of_another_type_is_told_by_its_name(given: dict[str, Any], told: str) -> None:
    """It was called a fault of the reader, or read as something else."""
    with pytest.raises(TypeError, match=re.escape(told)):
        Reading(**given)


def test_whole_numbers_of_numpy_are_whole_numbers() -> None:
    """A scan number that comes out of an array."""
    assert Reading(scan=np.int64(54), set={"distance": np.float32(2)}).known() == {"scan": "54"}  # type: ignore[arg-type,dict-item]
