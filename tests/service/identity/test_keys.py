"""Keys: who may call, and what a caller without one is told."""

import asyncio
import logging
import math
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from service.identity.keys import Caller, Key, Keyring, Scope
from service.jobs.embedded import find_server
from service.jobs.errors import NoRedisError
from service.jobs.state import JobState
from service.lifecycle import Services
from service.settings import Settings
from tests.service.api.calls import check
from tests.service.conftest import KEY, AppContext

OPEN = {"/healthz", "/readyz", "/v2/health/live", "/v2/health/ready", "/openapi.json", "/docs"}


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


def test_people_of_one_proposal_see_its_jobs() -> None:
    """Those of others in it, and their own of every other proposal; no proposal is none in common."""
    ada = Caller("ada", Scope.READ, proposal="hc5001")
    assert ada.sees("bob", "hc5001")
    assert ada.sees("ada", "hc5002")
    assert not ada.sees("bob", "hc5002")
    assert not ada.sees("bob")
    assert not Caller("ada", Scope.READ).sees("bob", "")


@pytest.mark.parametrize(
    ("told", "end"),
    [
        ("2026-12-31", datetime(2027, 1, 1, tzinfo=UTC)),
        (date(2026, 12, 31), datetime(2027, 1, 1, tzinfo=UTC)),
        ("2026-12-31T12:00:00", datetime(2026, 12, 31, 12, tzinfo=UTC)),
        ("2026-12-31T12:00:00+02:00", datetime(2026, 12, 31, 10, tzinfo=UTC)),
        (datetime(2026, 12, 31, 12), datetime(2026, 12, 31, 12, tzinfo=UTC)),  # as YAML reads it
    ],
)
def test_a_key_expires_with_the_day_or_at_the_moment_that_is_named(told: object, end: datetime) -> None:
    """In UTC, unless there is an offset."""
    key = Key.of("first" * 4, "ada", Scope.READ, expires=told)
    assert key.expires == end
    assert key.expired(end)
    assert not key.expired(end - timedelta(seconds=1))


async def test_an_expired_key_is_refused_with_the_reason(serving: AppContext, settings: Settings) -> None:
    """401, as for a wrong one, but its holder knows why; so is its login."""
    async with serving(settings) as client:
        services: Services = client.app.state.services  # type: ignore[attr-defined]
        services.keyring = Keyring([Key.of(KEY, "ada", Scope.READ, expires="2020-01-01")])
        check(await client.get("/v1/models"), 401, "has expired")
        check(await client.get("/v1/models", headers={"Authorization": "Apikey other"}), 401, "is wrong")


# ---- the roots of a key


def rooted(path: Path, data_root: Path) -> Path:
    """A file of keys: ada's for her folder, bob's for his, and one of carla's for none."""
    keys = []
    for owner, names in (("ada", ["ada"]), ("bob", ["bob"]), ("carla", [])):
        for name in names:
            (data_root / name).mkdir()
        roots = tuple(data_root / name for name in names)
        keys.append(Key.of(owner * 8, owner, Scope.SUBMIT).model_copy(update={"roots": roots}))
    path.write_text(yaml.safe_dump([key.model_dump(mode="json") for key in keys]))
    return path


async def test_a_key_names_the_files_of_its_own_roots_alone(
    serving: AppContext, settings: Settings, tmp_path: Path, data_root: Path, pattern: NDArray[np.uint32]
) -> None:
    """By an absolute path, a relative one, a link, or in a series; the administrator's key names them all."""
    keys = rooted(tmp_path / "keys.yaml", data_root)
    np.save(data_root / "ada" / "scan.npy", pattern)
    np.save(data_root / "bob" / "secret.npy", pattern)
    (data_root / "ada" / "link.npy").symlink_to(data_root / "bob" / "secret.npy")
    async with serving(settings.model_copy(update={"keys_file": keys})) as client:

        async def status(owner: str | None, path: Path | str) -> int:
            headers = {"Authorization": f"Apikey {owner * 8}"} if owner else {}
            asked = {"source": {"kind": "file", "path": str(path)}, "refine": "none"}
            return (await client.post("/v1/reconstructions", json=asked, headers=headers)).status_code

        assert await status("ada", "scan.npy") == 200
        assert await status("ada", data_root / "ada" / "scan.npy") == 200
        for path in ("link.npy", data_root / "bob" / "secret.npy", "../bob/secret.npy", data_root):
            assert await status("ada", path) == 403, path
        assert await status("bob", "secret.npy") == 200
        assert await status("bob", "scan.npy") == 404
        assert await status("carla", data_root / "ada" / "scan.npy") == 403
        assert await status(None, "bob/secret.npy") == 200


async def test_what_is_read_later_is_read_within_the_roots_of_its_key(
    serving: AppContext, settings: Settings, tmp_path: Path, data_root: Path, pattern: NDArray[np.uint32]
) -> None:
    """The data of a job that nobody waits for, and those of a series: the link appears after the key was looked at."""
    try:
        find_server()
    except NoRedisError as error:
        pytest.skip(str(error))
    changes = {"keys_file": rooted(tmp_path / "keys.yaml", data_root), "queue": True, "workers": 0, "redis_url": None}
    np.save(data_root / "bob" / "secret.npy", pattern)
    async with serving(settings.model_copy(update=changes)) as client:
        client.headers["Authorization"] = f"Apikey {'ada' * 8}"
        refused = await client.post("/v1/series", json={"scans": [str(data_root / "bob" / "*.npy")]})
        assert refused.status_code == 404  # as where nothing is
        np.save(data_root / "ada" / "scan.npy", pattern)
        services: Services = client.app.state.services  # type: ignore[attr-defined]
        assert services.reader is not None
        services.reader._rest_until = math.inf
        series = (await client.post("/v1/series", json={"scans": ["*.npy"], "refine": "none"})).json()
        one = {"source": {"kind": "file", "path": "scan.npy"}, "refine": "none", "wait": 0}
        job = (await client.post("/v1/reconstructions", json=one)).json()
        (data_root / "ada" / "scan.npy").unlink()
        (data_root / "ada" / "scan.npy").symlink_to(data_root / "bob" / "secret.npy")
        services.reader._rest_until = 0.0
        for job_id in (job["id"], series["scans"][0]["job"]):
            async with asyncio.timeout(30):
                while not JobState((now := (await client.get(f"/v1/jobs/{job_id}")).json())["state"]).final:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            assert now["state"] == "failed"
            assert "lies outside" in now["reason"]
