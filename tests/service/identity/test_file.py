"""The keys file: what is read, what `inphase key` writes, and what a running service makes of a change."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import yaml

from inphase.errors import InphaseError
from service.identity.file import KeysFile, add, listed, revoke
from service.identity.keys import Key, Keyring, Scope, digest
from service.settings import Settings
from tests.service.api.calls import check
from tests.service.conftest import AppContext

ADA, BOB = "ada" * 8, "bob" * 8


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with ada's key."""
    found = tmp_path / "keys.yaml"
    add(found, Key.of(ADA, "ada", Scope.SUBMIT))
    return found


def opens(path: Path, key: str) -> bool:
    """Whether a file has a key."""
    return Keyring(KeysFile(path, ()).read()).find(digest(key)) is not None


# ---- reading


def test_several_keys_may_have_one_owner(path: Path) -> None:
    """A file of keys opens with each of them, and an empty one with none; the keys themselves are not in it."""
    add(path, Key.of("second" * 4, "ada", Scope.READ))
    assert ADA not in path.read_text()
    assert [key.scope for key in listed(path)] == [Scope.SUBMIT, Scope.READ]
    assert opens(path, ADA)
    assert opens(path, "second" * 4)
    assert not opens(path, "third" * 4)
    path.write_text("")
    assert KeysFile(path, ()).read() == ()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("- {owner: ada, scope: root, sha256: 0}", "0.scope"),
        ("- {owner: ada}", "0.scope"),
        ("- {owner: a b, scope: read, sha256: secret-secret}", "0.owner"),
        ("- {owner: ada, scope: read, key: secret-secret}", "0.sha256"),
        ("a: b", "valid tuple"),
        ("- {owner: secret-secret", "line 1"),
        ("- {owner: ada, scope: read, sha256: \x00}", "no YAML"),
        (f"- {{owner: ada, scope: read, sha256: {digest('secret-secret')}}}\n" * 2, "twice"),
    ],
)
def test_a_file_that_is_none_is_named_with_the_place_and_without_what_it_holds(
    path: Path, content: str, words: str
) -> None:
    """Somebody may have written the key itself where its hash belongs, and errors go to the log."""
    path.write_text(content)
    with pytest.raises(InphaseError, match=r"keys\.yaml") as raised:
        KeysFile(path, ()).read()
    assert words in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_file_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    """In one sentence."""
    with pytest.raises(InphaseError, match=r"keys\.yaml cannot be read: No such file"):
        KeysFile(tmp_path / "keys.yaml", ()).read()


def test_roots_of_a_key_lie_below_the_data_roots(tmp_path: Path, data_root: Path) -> None:
    """Else the service does not start."""
    for root in (tmp_path, data_root / "none"):
        path = tmp_path / "keys.yaml"
        path.unlink(missing_ok=True)
        add(path, Key.of("first" * 4, "ada", Scope.SUBMIT, roots=(root,)))
        with pytest.raises(InphaseError, match="no folder below a data root"):
            KeysFile(path, (data_root,)).read()


# ---- writing


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    """Every field, and words that YAML would take for something else."""
    keys = [
        Key.of("a" * 20, "yes", "admin", proposal="1e5", expires="2026-12-31", waiting_jobs=3, requests_per_minute=60),
        Key.of("b" * 20, "0123", "read", roots=("/data/visitor: 1", '/data/"b"')),
    ]
    for key in keys:
        add(tmp_path / "keys.yaml", key)
    assert listed(tmp_path / "keys.yaml") == tuple(keys)
    assert (tmp_path / "keys.yaml").stat().st_mode & 0o777 == 0o600


def test_revoking_leaves_everything_else_as_it_stands(path: Path) -> None:
    """Comments, other keys in any notation, and the mode of the file."""
    by_hand = f"""# the team
- owner: carla   # until May
  scope: read
  sha256: {digest("carla" * 4)}
# visitors
"""
    path.write_text(f"{by_hand}{path.read_text()}")
    path.chmod(0o640)
    add(path, Key.of(BOB, "bob", Scope.READ))
    (gone,) = revoke(path, [Key.of(ADA, "ada", Scope.READ).id])
    assert gone.owner == "ada"
    assert path.read_text().startswith(by_hand)
    assert [key.owner for key in listed(path)] == ["carla", "bob"]
    assert path.stat().st_mode & 0o777 == 0o640
    revoke(path, [listed(path)[0].id])
    assert [key.owner for key in listed(path)] == ["bob"]
    assert "# visitors" in path.read_text()
    revoke(path, [listed(path)[0].id])
    assert listed(path) == ()


def test_a_key_that_is_not_there_is_not_revoked(path: Path) -> None:
    """Nor any that is named beside it."""
    with pytest.raises(InphaseError, match="has no key 012345678901"):
        revoke(path, [listed(path)[0].id, "012345678901"])
    assert opens(path, ADA)


def test_a_file_in_another_form_is_left_to_its_writer(path: Path) -> None:
    """A list in brackets is not cut up by lines."""
    add(path, Key.of("second" * 4, "ada", Scope.READ))
    before = yaml.safe_dump([key.model_dump(mode="json") for key in listed(path)], default_flow_style=True)
    path.write_text(before)
    for change in (lambda: add(path, Key.of(BOB, "bob", Scope.READ)), lambda: revoke(path, [listed(path)[0].id])):
        with pytest.raises(InphaseError, match="change it by hand"):
            change()
        assert path.read_text() == before
    assert [name.name for name in path.parent.iterdir() if name.name.startswith(".")] == []


# ---- while the service runs


def test_what_is_half_written_is_not_read(path: Path) -> None:
    """A file is taken when it is found the same twice; what cannot be read is told once."""
    file = KeysFile(path, ())
    assert file.changed() is None
    whole = path.read_text()
    path.write_text("")
    assert file.changed() is None
    path.write_text(whole[:30])
    assert file.changed() is None
    path.write_text(whole)
    assert file.changed() is None
    assert file.changed() is None  # it is what it was
    path.write_text(whole[:30])
    assert file.changed() is None
    with pytest.raises(InphaseError, match="line 1"):
        file.changed()
    assert file.changed() is None
    path.unlink()
    assert file.changed() is None
    with pytest.raises(InphaseError, match="No such file"):
        file.changed()
    add(path, Key.of(BOB, "bob", Scope.READ))
    assert file.changed() is None
    assert [key.owner for key in file.changed() or ()] == ["bob"]


@pytest.fixture
async def client(serving: AppContext, settings: Settings, path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service with this file."""
    async with serving(settings.model_copy(update={"keys_file": path})) as client:
        yield client


def rewrite(path: Path, text: str) -> str:
    """Write a file anew; what it had."""
    before = path.read_text()
    path.write_text(text)
    return before


async def answered(client: httpx.AsyncClient, key: str, status: int) -> float:
    """Returns when a key is answered so; how long that took."""
    begun = time.monotonic()
    async with asyncio.timeout(20):
        while (await client.get("/v1/models", headers={"Authorization": f"Apikey {key}"})).status_code != status:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return time.monotonic() - begun


async def test_keys_come_and_go_without_a_restart(client: httpx.AsyncClient, path: Path) -> None:
    """A new key opens, a revoked one does not; the administrator's own is not touched by any of it."""
    await answered(client, ADA, 200)
    add(path, Key.of(BOB, "bob", Scope.READ))
    await answered(client, BOB, 200)
    revoke(path, [Key.of(ADA, "ada", Scope.READ).id])
    await answered(client, ADA, 401)
    await answered(client, BOB, 200)
    assert (await client.get("/v1/models")).status_code == 200


async def test_a_broken_file_changes_nothing_and_is_told(
    client: httpx.AsyncClient, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The keys that were read before stay, until there is a file that can be read."""
    whole = rewrite(path, "- {owner: ada")
    told = ""
    async with asyncio.timeout(20):
        while "cannot be used" not in told:
            await asyncio.sleep(0.05)
            told += "".join(capsys.readouterr())
    assert "line 1" in told
    await answered(client, ADA, 200)
    rewrite(path, whole)
    add(path, Key.of(BOB, "bob", Scope.READ))
    await answered(client, BOB, 200)
    check(await client.get("/v1/models", headers={"Authorization": "Apikey other"}), 401)
