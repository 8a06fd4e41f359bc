"""`inphase key`."""

from pathlib import Path

import pytest
import yaml

from inphase.errors import InphaseError
from service.identity.keys import Caller, Keyring, Scope, read_keys


def test_a_key_is_shown_once_and_kept_as_its_hash(inphase, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """What is printed for the file opens with the key that is printed beside it."""
    code, out, err = inphase("key", "ada", "--scope", "read")
    assert code == 0
    key = err.split()[-1]
    assert key not in out
    path = tmp_path / "keys.yaml"
    path.write_text(out)
    assert Keyring(read_keys(path, ())).caller(key) == Caller("ada", Scope.READ)
    assert Keyring(read_keys(path, ())).caller("x" + key) is None
    code, _, err = inphase("key", "ada", "--scope", "root")
    assert (code, "root" in err) == (1, True)
    for content in (
        "- {owner: ada}",
        "[",
        "a: b",
        yaml.safe_dump([{"owner": "a b", "scope": "read", "sha256": "0" * 64}]),
    ):
        path.write_text(content)
        with pytest.raises(InphaseError, match=r"keys\.yaml"):
            read_keys(path, ())


def test_a_key_may_be_bound_to_folders(inphase, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """The line names them."""
    (tmp_path / "visitor: 1").mkdir()
    code, out, err = inphase("key", "ada", "--root", tmp_path / "visitor: 1")
    assert code == 0
    path = tmp_path / "keys.yaml"
    path.write_text(out)
    found = Keyring(read_keys(path, (tmp_path,))).caller(err.split()[-1])
    assert found == Caller("ada", Scope.SUBMIT, (tmp_path / "visitor: 1",))
