"""JSON and numbers of the protocol."""

import json
from typing import Any

import numpy as np
import pytest

from service.api.oip.wire import TYPES, Wanted, encoded, parse
from service.errors import ApiError

INPUT = {"name": "modulus", "datatype": "FP32", "shape": [2, 3]}


def one(**changes: Any) -> bytes:
    """A request with one input."""
    return json.dumps({"inputs": [INPUT | changes]}).encode()


def test_a_request_is_read() -> None:
    """Binary and JSON inputs beside each other, outputs by name, the rest as it says."""
    text = json.dumps(
        {
            "id": "7",
            "inputs": [
                INPUT | {"parameters": {"binary_data_size": 24}},
                {"name": "valid", "datatype": "UINT8", "shape": [2], "data": [[1], [0]]},
            ],
            "outputs": [{"name": "phase", "parameters": {"binary_data": False}}, {"name": "amplitude"}],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    asked = parse(text)
    assert (asked.id, asked.binary, asked.octets) == ("7", True, 24)
    assert asked.outputs == (Wanted("phase", False), Wanted("amplitude", True))
    assert asked.wanted(["amplitude", "phase"]) == asked.outputs
    assert asked.inputs[1].array().tolist() == [1, 0]
    assert asked.inputs[1].array().dtype == np.uint8
    assert parse(one(data=[0] * 6)).wanted(["a", "b"]) == (Wanted("a", False), Wanted("b", False))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "not that of the protocol"),
        (b"\xff", "not that of the protocol"),
        (b"[]", "Expected `object`"),
        (b"{}", "inputs"),
        (one(data=[0.0] * 6, shape="64"), "Expected `array`"),
        (one(), "either its numbers in `data` or their bytes"),
        (one(data=[0] * 6, parameters={"binary_data_size": 24}), "either its numbers in `data` or their bytes"),
        (one(parameters={"binary_data_size": 23}), "FP32 of the shape [2, 3], 24 bytes; its binary_data_size says 23"),
        (one(parameters={"binary_data_size": 24.0}), "says 24.0"),
        (one(parameters={"binary_data_size": True}, shape=[]), "says True"),
        (one(parameters={"binary_data_size": "24"}), "says '24'"),
        (one(parameters={"shared_memory_region": "a"}), "shared_memory_region"),
        (one(data=[], datatype="BYTES"), "BYTES"),
        (one(data=[], shape=[-1, 0]), "not negative"),
        (json.dumps({"inputs": [], "parameters": {"timeout": 5}}).encode(), "timeout"),
        (json.dumps({"inputs": [], "parameters": {"binary_data_output": 1}}).encode(), "true or false"),
        (
            json.dumps({"inputs": [], "outputs": [{"name": "a", "parameters": {"classification": 3}}]}).encode(),
            "classification",
        ),
    ],
)
def test_what_is_no_request_is_refused(text: bytes, words: str) -> None:
    """With what is wrong; what would do nothing is refused, too."""
    with pytest.raises(ApiError) as caught:
        parse(text)
    assert caught.value.status == 400
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "data", "words"),
    [
        ("FP32", [1, 2], "it holds 2 numbers"),
        ("FP32", [[1, 2, 3], [4, 5]], "no FP32"),
        ("FP32", ["1"] * 6, "other things"),
        ("FP32", [None] * 6, "other things"),
        ("FP32", [True] * 6, "other things"),
        ("UINT8", [0.5] * 6, "other things"),
        ("UINT8", [256] * 6, "beyond the type"),
        ("UINT8", [-1] * 6, "beyond the type"),
        ("BOOL", [1] * 6, "other things"),
    ],
)
def test_numbers_that_are_none_are_refused(kind: str, data: list[Any], words: str) -> None:
    """None is cut off or taken for another."""
    with pytest.raises(ApiError, match=words):
        parse(one(datatype=kind, data=data)).inputs[0].array()


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_every_type_goes_both_ways(kind: str) -> None:
    """Through JSON, and as octets of the size that its name says."""
    array = np.arange(6).reshape(2, 3).astype(TYPES[kind])
    bits = 8 if kind == "BOOL" else int("".join(filter(str.isdecimal, kind)))
    assert array.itemsize * 8 == bits
    read = parse(one(datatype=kind, data=array.tolist())).inputs[0].array()
    np.testing.assert_array_equal(read, array)
    answer = encoded({}, [Wanted("a", True), Wanted("b", False)], {"a": array, "b": array}, {})
    assert answer.header is not None
    first, second = json.loads(answer.body[: answer.header])["outputs"]
    assert first == {"name": "a", "datatype": kind, "shape": [2, 3], "parameters": {"binary_data_size": array.nbytes}}
    assert second == {"name": "b", "datatype": kind, "shape": [2, 3], "data": array.ravel().tolist()}
    assert answer.body[answer.header :] == array.tobytes()


def test_octets_are_in_the_order_of_the_outputs() -> None:
    """As they were asked for, in C order, whatever lies in memory."""
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3).T, np.zeros(1, np.uint8)
    answer = encoded({"id": "7"}, [Wanted("b", True), Wanted("a", True)], {"a": a, "b": b}, {"chi2": 0.5})
    document = json.loads(answer.body[: answer.header])
    assert [output["name"] for output in document["outputs"]] == ["b", "a"]
    assert (document["id"], document["parameters"]) == ("7", {"chi2": 0.5})
    assert answer.body[answer.header :] == b.tobytes() + a.tobytes("C")
    assert encoded({}, [Wanted("a", False)], {"a": a}, {}).header is None
