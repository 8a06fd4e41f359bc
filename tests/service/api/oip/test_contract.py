"""What models take and answer."""

from pathlib import Path

import numpy as np
import pytest

from inphase.errors import DataError
from inphase.models.repository import Repository, UnknownModelError
from service.api.oip.contract import Contract, contract, contracts
from service.api.oip.wire import Asked, Declared
from service.errors import ApiError

FEATURES = {"modulus": (1, 64, 64, 64), "valid": (1, 64, 64, 64), "autocorrelation": (1, 2, 64, 64, 64)}


@pytest.fixture(scope="module")
def repository(echoing: Path) -> Repository:
    """Of the toy networks."""
    return Repository(echoing)


def asked(shapes: dict[str, tuple[int, ...]], kind: str = "FP32") -> Asked:
    """A request with such inputs."""
    inputs = tuple(Declared(name, kind, shape, 0, None) for name, shape in shapes.items())
    return Asked("", inputs, None, True)


def test_every_version_has_its_contracts(repository: Repository) -> None:
    """Of the network, and of the way from counts where it takes counts."""
    assert sorted(found.label for found in contracts(repository)) == [
        "echo.counts@1", "echo.counts@3", "echo@1", "echo@3", "inphase-bcdi.counts@1", "inphase-bcdi@1", "moduli@1",
        "scans@1",
    ]  # fmt: skip


def test_shapes_are_those_of_the_card(repository: Repository) -> None:
    """With the batch axis first, and none for one measurement."""
    found = contract(repository, "echo", None)
    assert {tensor.name: tensor.shape for tensor in found.inputs} == {
        name: (-1, *shape[1:]) for name, shape in FEATURES.items()
    }
    assert {tensor.name: tensor.shape for tensor in found.outputs} == dict.fromkeys(
        ("amplitude", "phase"), (-1, 32, 32, 32)
    )
    (patterns,) = contract(repository, "scans", None).inputs
    assert patterns.shape == (-1, 1, 32, 32)
    counts = contract(repository, "echo.counts", "1")
    assert counts.version.label == "echo@1"
    assert [tensor.shape for tensor in (*counts.inputs, *counts.outputs)] == [(-1, -1, -1), (64,) * 3, (64,) * 3]


@pytest.mark.parametrize(
    ("name", "version", "words"),
    [
        ("nobody", None, "known: echo"),
        ("nobody.counts", None, "known: echo"),
        ("echo", "2", "versions: 1, 3"),
        ("echo@1", None, "/v2/models/NAME/versions/N"),
        ("moduli.counts", None, "takes no counts"),
        ("scans.counts", None, "takes no counts of one pattern"),
        ("echo.counts.counts", None, "known: echo"),
    ],
)
def test_what_is_no_model_is_refused(repository: Repository, name: str, version: str | None, words: str) -> None:
    """With what there is."""
    with pytest.raises(UnknownModelError, match=words):
        contract(repository, name, version)


def echo(repository: Repository) -> Contract:
    """Of the active version."""
    return contract(repository, "echo", None)


def test_what_fits_is_taken(repository: Repository) -> None:
    """In any order of the inputs, for one pattern and for many; a measurement of any shape and type of numbers."""
    echo(repository).check(asked(FEATURES))
    echo(repository).check(asked({name: (64, *shape[1:]) for name, shape in reversed(FEATURES.items())}))
    for kind in ("UINT16", "FP32", "INT64"):
        contract(repository, "echo.counts", None).check(asked({"counts": (201, 256, 200)}, kind))


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        (
            {"valid": (1, 64, 64, 63)},
            "FP32",
            "valid as FP32 of the shape [-1, 64, 64, 64], not FP32 of the shape [1",
        ),
        ({"autocorrelation": (1, 64, 64, 64)}, "FP32", "[-1, 2, 64, 64, 64]"),
        ({}, "FP64", "modulus as FP32 of the shape [-1, 64, 64, 64], not FP64"),
        ({"other": (1,)}, "FP32", "takes the inputs modulus, valid, autocorrelation, each once"),
        ({name: (0, *shape[1:]) for name, shape in FEATURES.items()}, "FP32", "1 to 64, not [0]"),
        ({name: (65, *shape[1:]) for name, shape in FEATURES.items()}, "FP32", "1 to 64, not [65]"),
        ({"valid": (2, 64, 64, 64)}, "FP32", "the same for all and 1 to 64, not [1, 2]"),
    ],
)
def test_what_does_not_fit_is_told_what_would(
    repository: Repository, changes: dict[str, tuple[int, ...]], kind: str, words: str
) -> None:
    """Name, type and shape of what is expected, and of what came."""
    with pytest.raises(ApiError) as caught:
        echo(repository).check(asked(FEATURES | changes, kind))
    assert caught.value.status == 400
    assert words in str(caught.value)


def test_an_input_that_is_missing_is_refused(repository: Repository) -> None:
    """As is one that comes twice."""
    one = Declared("modulus", "FP32", (1, 64, 64, 64), 0, None)
    for inputs in ((), (one,), (one, one, one)):
        with pytest.raises(ApiError, match="each once"):
            echo(repository).check(Asked("", inputs, None, True))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_are_finite(repository: Repository, bad: float) -> None:
    """What is not says where."""
    good = np.zeros((1, 4, 4), np.float32)
    echo(repository).check_values({"modulus": good})
    array = good.copy()
    array[0, 1, 2] = bad
    with pytest.raises(DataError, match=r"modulus holds 1 values that are not finite, the first at \(0, 1, 2\)"):
        echo(repository).check_values({"valid": good, "modulus": array})
