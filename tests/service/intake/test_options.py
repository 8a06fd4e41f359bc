"""The options of a reconstruction as JSON and as a query."""

from dataclasses import fields

import pytest
from pydantic import ValidationError

from inphase.imaging.options import Options
from inphase.pattern import Domain
from service.intake.options import ImagingOptions, JobOptions
from service.jobs.state import Priority


def test_names_and_defaults_are_those_of_the_library() -> None:
    """An option that the library gains cannot be forgotten here."""
    assert set(ImagingOptions.model_fields) == {field.name for field in fields(Options)}
    assert ImagingOptions().imaging() == Options()


def test_what_is_chosen_reaches_the_library() -> None:
    """Each option by its name; how to be answered is no matter of the library."""
    chosen = JobOptions(
        model="a@1", domain="modulus", preprocess="none", refine="ER", start="random", starts=3, seed=7, wait=0.5
    )
    assert chosen.imaging() == Options("a@1", Domain.MODULUS, "none", "ER", "random", 3, 7)
    assert (chosen.wait, chosen.reuse, chosen.priority) == (0.5, True, Priority.NORMAL)


@pytest.mark.parametrize(
    "wrong",
    [
        {"starts": 0}, {"starts": 101}, {"seed": -1}, {"seed": 2**32}, {"start": "anywhere"}, {"domain": "photons"},
        {"refine": "E" * 2001}, {"wait": float("inf")}, {"wait": -1}, {"priority": "urgent"}, {"refin": "ER"},
    ],
)  # fmt: skip
def test_what_is_out_of_bounds_is_refused(wrong: dict[str, object]) -> None:
    """And a name that is not known."""
    with pytest.raises(ValidationError) as told:
        JobOptions.model_validate(wrong)
    assert [error["loc"][0] for error in told.value.errors()] == list(wrong)
