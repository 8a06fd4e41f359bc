"""Which wheels an image installs, and that the sizes on their page are those of the locks that are there."""

import re

import pytest

from benchmarks import ROOT
from benchmarks.images import TARGETS, chosen, digest, of_lock

INDEX = "https://index.example/"
LOCK = """
lock-version = "1.0"
created-by = "uv"
[[packages]]
name = "pure"
version = "1.0"
wheels = [{ url = "https://index.example/pure-1.0-py3-none-any.whl", size = 10 }]
[[packages]]
name = "built"
version = "2.1"
wheels = [
  { url = "https://index.example/built-2.1-cp311-cp311-musllinux_1_2_x86_64.whl", size = 1 },
  { url = "https://index.example/built-2.1-cp311-cp311-manylinux_2_28_aarch64.whl", size = 2 },
  { url = "https://index.example/built-2.1-cp312-cp312-manylinux_2_28_x86_64.whl", size = 3 },
  { url = "https://index.example/built-2.1-cp311-cp311-manylinux_2_39_x86_64.whl", size = 4 },
  { url = "https://index.example/built-2.1-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl", size = 5 },
  { url = "https://index.example/built-2.1-cp39-abi3-manylinux_2_17_x86_64.whl", size = 6 },
]
"""


def test_the_wheel_is_the_one_that_pip_takes_in_the_image() -> None:
    """Of glibc 2.36 or older, x86-64 and CPython 3.11; what is made for just this interpreter before the stable ABI."""
    assert [(wheel.name, wheel.packed) for wheel in of_lock(LOCK)] == [("pure", 10), ("built", 5)]


def test_a_local_version_is_a_wheel_as_well() -> None:
    """An index writes its plus as %2B."""
    wheel = {"url": f"{INDEX}torch-2.13.0%2Bcpu-cp311-cp311-manylinux_2_28_x86_64.whl", "size": 7}
    assert chosen([wheel])["size"] == 7


def test_a_release_without_a_wheel_for_the_image_is_told() -> None:
    """It would be built from source, and nobody knows how large that becomes."""
    with pytest.raises(ValueError, match="runs in the images"):
        chosen([{"url": f"{INDEX}odd-1-cp311-cp311-win_amd64.whl", "size": 7}])


def test_sizes_are_of_the_locks_that_are_there() -> None:
    """Who renews a lock renews the page: make images. The page for deployment has the same table."""
    page = (ROOT / "benchmarks/results/images.md").read_text()
    rows = dict(re.findall(r"^\| ([\w-]+) \|.*\| (\w{12}) \|$", page, re.MULTILINE))
    assert rows == {target: digest(target) for target in TARGETS}
    told = (ROOT / "docs/how-to/deploy.md").read_text()
    for target in TARGETS:
        (row,) = re.findall(rf"^\| {target} \| \d+ \| (\d+) \| ([^|]+) \|", page, re.MULTILINE)
        assert re.search(rf"^\| {target} \| {row[0]} MB \| {row[1]}", told, re.MULTILINE), f"{target}: {row}"
