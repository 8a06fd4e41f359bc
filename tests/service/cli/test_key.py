"""`inphase key`."""

import json
from pathlib import Path

import pytest

from service.identity.file import KeysFile
from service.identity.keys import Caller, Keyring, Scope, digest


def caller(path: Path, key: str, *data_roots: Path) -> Caller | None:
    """Who calls with a key."""
    found = Keyring(KeysFile(path, data_roots).read()).find(digest(key))
    return found and found.caller


def test_a_key_is_shown_once_and_kept_as_its_hash(inphase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """What is printed opens, and the file, which the environment names, has only its hash."""
    path = tmp_path / "keys.yaml"
    monkeypatch.setenv("INPHASE_KEYS_FILE", str(path))
    code, out, err = inphase("key", "add", "ada", "--scope", "read", "--proposal", "hc5001", "--waiting-jobs", "3")
    assert code == 0
    key = out.strip()
    assert key not in path.read_text()
    found = caller(path, key)
    assert found is not None
    assert found == Caller("ada", Scope.READ, None, "hc5001", found.key, 3)
    assert found.key in err
    assert caller(path, "x" + key) is None


def test_a_key_may_be_bound_to_folders(inphase, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """The line names them; a folder that does not exist is refused at once."""
    folder, path = tmp_path / "visitor: 1", tmp_path / "keys.yaml"
    folder.mkdir()
    code, out, _ = inphase("key", "add", "ada", "--root", folder, "--keys-file", path)
    assert code == 0
    found = caller(path, out.strip(), tmp_path)
    assert found is not None
    assert found.roots == (folder,)
    assert inphase("key", "add", "ada", "--root", tmp_path / "none", "--keys-file", path)[0] != 0


@pytest.mark.parametrize(
    ("options", "word"),
    [(("--scope", "root"), "scope"), (("--expires", "soon"), "expires"), (("--proposal", "a b"), "proposal")],
)
def test_what_no_key_can_have_is_refused(inphase, tmp_path: Path, options: tuple[str, str], word: str) -> None:  # type: ignore[no-untyped-def]
    """The option is named, and the file is not touched."""
    path = tmp_path / "keys.yaml"
    code, _, err = inphase("key", "add", "ada", "--keys-file", path, *options)
    assert (code, word in err, path.exists()) == (2, True, False)


def test_keys_are_listed_and_revoked_by_their_ids(inphase, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """What is listed has no hash; what is revoked is gone."""
    file = ("--keys-file", tmp_path / "keys.yaml")
    assert "no keys" in inphase("key", "list", *file)[1]
    inphase("key", "add", "ada", "--expires", "2020-01-01", *file)
    inphase("key", "add", "bob", "--requests-per-minute", "60", *file)
    listed = json.loads(inphase("key", "list", "--json", *file)[1])
    assert [(key["owner"], key["requests_per_minute"]) for key in listed] == [("ada", None), ("bob", 60)]
    assert not {"sha256", "key"} & listed[0].keys()
    assert "(over)" in inphase("key", "list", *file)[1]
    code, out, _ = inphase("key", "revoke", listed[0]["id"], *file)
    assert (code, "ada" in out) == (0, True)
    assert [key["owner"] for key in json.loads(inphase("key", "list", "--json", *file)[1])] == ["bob"]
    code, _, err = inphase("key", "revoke", listed[0]["id"], *file)
    assert (code, "has no key" in err) == (1, True)
