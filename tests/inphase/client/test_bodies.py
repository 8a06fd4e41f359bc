"""What is sent of a pattern."""

import io
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from inphase.client.bodies import FILES, of_json, of_pattern, of_template
from inphase.formats import hdf5, matlab, tiff
from inphase.pattern import MaskState
from inphase.ptycho.formats import READERS
from service.api.bodies import media


def received(pattern: Any) -> tuple[str, bytes]:
    """Content type and body of what is sent, of the length that is told."""
    body = of_pattern(pattern)
    octets = b"".join(body.chunks())
    assert len(octets) == body.size
    return body.media_type, octets


_COUNTS = np.arange(60, dtype=np.int64).reshape(3, 4, 5)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (_COUNTS.tolist(), _COUNTS),
        (_COUNTS.astype(float).tolist(), _COUNTS.astype(float)),
        (tuple(map(tuple, _COUNTS.tolist())), _COUNTS),
        (list(_COUNTS), _COUNTS),
        (list(_COUNTS.astype(">u2")), _COUNTS),
        (_COUNTS.astype(">f8"), _COUNTS),
        (_COUNTS.transpose(2, 0, 1), _COUNTS.transpose(2, 0, 1)),
        (_COUNTS[::-1, ::2, 1::3], _COUNTS[::-1, ::2, 1::3]),
        (np.broadcast_to(_COUNTS[:1], (3, 4, 5)), np.broadcast_to(_COUNTS[:1], (3, 4, 5))),
        (memoryview(_COUNTS), _COUNTS),
        (_COUNTS.astype(np.float16), _COUNTS),
        (_COUNTS.view(np.recarray), _COUNTS),
    ],
)
def test_what_numpy_makes_an_array_of_is_sent_as_one(pattern: Any, expected: np.ndarray) -> None:
    """Lists, lists of frames, views of any order and stride: the values arrive at their places."""
    kind, body = received(pattern)
    assert kind == "application/x-npy"
    np.testing.assert_array_equal(np.load(io.BytesIO(body)), expected)


def test_a_dataset_is_read_and_sent(tmp_path: Path) -> None:
    """An open dataset of h5py counts as the array that it holds."""
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        dataset = file.create_dataset("data", data=_COUNTS.astype(np.uint16))
        _, body = received(dataset)
    np.testing.assert_array_equal(np.load(io.BytesIO(body)), _COUNTS)


def test_the_mask_of_a_masked_array_goes_too() -> None:
    """What numpy has masked is masked for the service, not a count."""
    mask = _COUNTS % 7 == 0
    kind, body = received(np.ma.MaskedArray(_COUNTS, mask))
    assert kind == "application/x-npz"
    with np.load(io.BytesIO(body)) as archive:
        np.testing.assert_array_equal(archive["data"][~mask], _COUNTS[~mask])
        np.testing.assert_array_equal(archive["mask"] == MaskState.MASKED, mask)
        np.testing.assert_array_equal(archive["mask"] == MaskState.VALID, ~mask)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ([[[[1, 2]]]], r"three axes.*\(1, 1, 1, 2\)"),
        ([], r"three axes.*\(0,\)"),
        (7, r"three axes.*shape \(\)"),
        ([[[1, 2], [3]]], "rows of one length"),
        ("scan.h5", "reconstruct_file"),
        (Path("scan.h5"), "reconstruct_file"),
        (b"\x93NUMPY", "reconstruct_file"),
        (None, "NoneType became an array of object"),
        ([[["1"]]], "real numbers; list became an array of <U1"),
        (_COUNTS + 1j, "complex128"),
        (_COUNTS > 3, "array of bool"),
        ((frame for frame in _COUNTS), "generator became an array of object"),
        ([[[2**70]]], "array of object"),
        (np.zeros((1, 1, 1), [("a", int)]), "real numbers"),
    ],
)
def test_what_is_no_pattern_is_a_type_error(pattern: Any, words: str) -> None:
    """Said before anything is sent, with what it should be."""
    with pytest.raises(TypeError, match=words):
        of_pattern(pattern)


def test_a_file_is_sent_as_what_the_service_reads_it_as() -> None:
    """Every ending of every kind of file that the service takes as a body, and no other."""
    endings = {".npy", ".npz", ".cxi", matlab.SUFFIX, *hdf5.SUFFIXES, *tiff.SUFFIXES, *READERS}
    assert set(FILES) == endings
    assert set(FILES.values()) == {media.NPY, *media.FILES}
    for ending, media_type in FILES.items():
        kept_as = media.FILES.get(media_type, ".npy")
        same = {".hdf5": ".h5", ".hdf": ".h5", ".ptyd": ".h5", ".nx5": ".nxs", ".tiff": ".tif"}
        assert same.get(ending, ending) == kept_as


def test_what_json_cannot_hold_is_a_type_error() -> None:
    """Numbers of numpy and paths are held."""
    body = of_json({"a": np.float32(0.5), "b": Path("x/y"), "c": np.arange(2)})
    assert b"".join(body.chunks()) == b'{"a": 0.5, "b": "x/y", "c": [0, 1]}'
    with pytest.raises(TypeError, match="set cannot be sent as an option"):
        of_json({"a": {"roi"}})


def test_the_template_of_a_scan_keeps_the_mask_of_a_masked_array() -> None:
    """As a pattern does."""
    frame = np.ma.masked_equal(_COUNTS[0], 3)
    sent = dict(np.load(io.BytesIO(b"".join(of_template(frame).chunks()))))
    assert np.argwhere(sent["mask"]).tolist() == [[0, 3]]
    assert list(np.load(io.BytesIO(b"".join(of_template(_COUNTS[0]).chunks())))) == ["data"]
