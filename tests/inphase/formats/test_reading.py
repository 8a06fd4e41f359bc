"""What a caller may say about how a measurement is read."""

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
