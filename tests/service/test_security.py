"""Keys: who may call, and what a caller without one is told."""

import logging
from pathlib import Path

import httpx
import pytest
import yaml

from inphase.errors import InphaseError
from service.security import Caller, Key, Keyring, Scope, read_keys
from tests.service.api.calls import check
from tests.service.conftest import KEY

OPEN = {"/healthz", "/readyz", "/openapi.json", "/docs"}


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Apikey",
        "Apikey ",
        "Apikey wrong",
        "Bearer wrong",
        f"Basic {KEY}",
        f"Token {KEY}",
        KEY,
        f"Apikey {KEY}x",
        f"Bearer {KEY}x",
        f"Bearer{KEY}",
        "Apikey \xff\xfe",
    ],
)
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/status", "/v1/models", "/metrics", f"/v1/jobs/{'0' * 32}/result"])
async def test_without_the_key_nothing_opens(client: httpx.AsyncClient, path: str, header: str | None) -> None:
    """No key, a wrong one, another scheme: 401 with the way to do it, and never the key."""
    del client.headers["Authorization"]
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    answer = await client.get(path, headers=headers)  # type: ignore[arg-type]
    check(answer, 401, "Authorization: Apikey")
    assert answer.headers["www-authenticate"] == 'Apikey realm="inphase", Bearer realm="inphase"'
    assert KEY not in answer.text


@pytest.mark.parametrize("scheme", ["Apikey", "APIKEY", "apikey", "Bearer", "bearer", "BEARER"])
async def test_a_right_key_opens_by_either_scheme(client: httpx.AsyncClient, scheme: str) -> None:
    """Ours, and the one that most programs can send; names of schemes are compared without case (RFC 9110)."""
    assert (await client.get("/v1/models", headers={"Authorization": f"{scheme} {KEY}"})).status_code == 200


@pytest.mark.parametrize(
    ("header", "word"),
    [("", "is needed"), ("Bearer wrong", "is wrong"), (f"Basic {KEY}", "this scheme"), (KEY, "missing before")],
)
async def test_a_refused_key_is_told_what_is_wrong(client: httpx.AsyncClient, header: str, word: str) -> None:
    """The right key in the wrong words is not called a wrong key."""
    check(await client.get("/v1/models", headers={"Authorization": header}), 401, word, "(or Bearer)")


async def test_every_route_is_closed_but_the_open_ones(client: httpx.AsyncClient) -> None:
    """No route is forgotten: what the schema lists answers 401 without a key, save health."""
    del client.headers["Authorization"]
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert len(paths) >= 10
    for path, methods in paths.items():
        for method in methods:
            url = path.replace("{job_id}", "0" * 32).replace("{name}", "phase")
            answer = await client.request(method, url)
            if (method, path) == ("post", "/v1/login"):  # it takes a key, from the page alone
                assert answer.status_code == 403
            else:
                assert (answer.status_code == 401) == (path not in OPEN), path


async def test_keys_do_not_reach_the_log(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither the access log nor an error shows a key."""
    with caplog.at_level(logging.DEBUG):
        await client.get("/v1/models")
        await client.get("/v1/models", headers={"Authorization": "Apikey another-secret"})
    shown = caplog.text + "".join(capsys.readouterr())
    assert KEY not in shown
    assert "another-secret" not in shown


def test_each_scope_includes_the_ones_before_it() -> None:
    """read, submit, admin."""
    covered = {(one, other) for one in Scope for other in Scope if one.covers(other)}
    read, submit, admin = Scope.READ, Scope.SUBMIT, Scope.ADMIN
    assert covered == {(read, read), (submit, read), (submit, submit), (admin, read), (admin, submit), (admin, admin)}


def test_only_an_admin_sees_the_jobs_of_others() -> None:
    """Everybody sees their own."""
    assert Caller("ada", Scope.READ).sees("ada")
    assert not Caller("ada", Scope.SUBMIT).sees("bob")
    assert Caller("ada", Scope.ADMIN).sees("bob")


def test_several_keys_may_have_one_owner(tmp_path: Path) -> None:
    """A file of keys opens with each of them, and an empty one with none; the keys themselves are not in it."""
    keys = [Key.of("first" * 4, "ada", Scope.SUBMIT), Key.of("second" * 4, "ada", Scope.READ)]
    path = tmp_path / "keys.yaml"
    path.write_text(yaml.safe_dump([key.model_dump(mode="json") for key in keys]))
    assert "first" not in path.read_text()
    keyring = Keyring(read_keys(path))
    assert keyring.caller("first" * 4) == Caller("ada", Scope.SUBMIT)
    assert keyring.caller("second" * 4) == Caller("ada", Scope.READ)
    assert keyring.caller("third" * 4) is None
    path.write_text("")
    assert read_keys(path) == ()
    path.write_text("- {owner: ada, scope: root, sha256: 0}")
    with pytest.raises(InphaseError, match=r"keys\.yaml is no keys file"):
        read_keys(path)
