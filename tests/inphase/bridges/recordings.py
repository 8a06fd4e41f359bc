"""Recorded streams: CBOR sequences of the multipart messages that came."""

from collections.abc import Iterator
from pathlib import Path

import cbor2
import pytest


def messages(real_data: Path, name: str) -> Iterator[list[bytes]]:
    """Those of a recording; skips where it is absent."""
    path = real_data / "wire" / name
    if not path.is_file():
        pytest.skip(f"there is no recorded stream {path}")
    with path.open("rb") as stream:
        while True:
            try:
                yield cbor2.load(stream)
            except cbor2.CBORDecodeEOF:
                return
