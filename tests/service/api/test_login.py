"""Logins of browsers: one key shown once, then a cookie."""

import httpx
import numpy as np
from numpy.typing import NDArray

from service.identity.keys import Keyring
from service.lifecycle import Services
from service.settings import Settings
from tests.service.api.calls import check
from tests.service.api.conftest import NPY, npy
from tests.service.api.queued import client, keyed
from tests.service.conftest import KEY, AppContext

__all__ = ["client", "keyed"]  # fixtures
PAGE = {"Inphase-Page": "1"}


async def log_in(client: httpx.AsyncClient, key: str = KEY) -> httpx.Response:
    """The client has the cookie, and no key, from here on."""
    client.headers.pop("Authorization", None)
    return await client.post("/v1/login", json={"key": key}, headers=PAGE)


async def test_a_cookie_opens_what_its_key_opens(client: httpx.AsyncClient) -> None:
    """The cookie is out of reach for scripts and other sites, does not hold the key, and ends with the login."""
    assert (await log_in(client)).json() == {"owner": "admin", "scope": "admin", "proposal": None}
    (cookie,) = client.cookies.jar
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert cookie.get_nonstandard_attr("SameSite") == "strict"
    assert KEY not in str(cookie.value)
    assert (await client.get("/v1/jobs")).status_code == 200
    token = {"Cookie": f"{cookie.name}={cookie.value}"}
    assert (await client.delete("/v1/login", headers=PAGE)).status_code == 204
    check(await client.get("/v1/jobs", headers=token), 401, "the login has ended")


async def test_over_tls_the_cookie_is_secure(client: httpx.AsyncClient) -> None:
    """And only then: over plain HTTP a browser would not keep it."""
    for scheme, secure in (("http", False), ("https", True)):
        answer = await client.post(f"{scheme}://inphase/v1/login", json={"key": KEY}, headers=PAGE)
        assert ("Secure" in answer.headers["set-cookie"]) == secure


async def test_a_wrong_key_gets_no_cookie(client: httpx.AsyncClient) -> None:
    """401 with the reason, and never the key."""
    answer = await log_in(client, "not-the-key")
    check(answer, 401, "the API key is wrong")
    assert "set-cookie" not in answer.headers
    assert "not-the-key" not in answer.text


async def test_another_origin_changes_nothing(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """By cookie alone nothing can be changed: only the own page can send the header that is asked for."""
    await log_in(client)
    refused = [
        await client.post("/v1/reconstructions?refine=none", content=npy(pattern), headers=NPY),
        await client.delete(f"/v1/jobs/{'0' * 32}"),
        await client.delete("/v1/login"),
        await client.post("/v1/login", json={"key": KEY}),
    ]
    for answer in refused:
        check(answer, 403, "Inphase-Page")
    taken = await client.post("/v1/reconstructions?refine=none", content=npy(pattern), headers=NPY | PAGE)
    assert taken.status_code == 200, taken.text


async def test_a_login_has_the_scope_of_its_key(keyed: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """A wall display that reads cannot submit, and sees its owner's jobs alone."""
    await log_in(keyed, "wall" * 8)
    assert (await keyed.get("/v1/login")).json() == {"owner": "ada", "scope": "read", "proposal": None}
    answer = await keyed.post("/v1/reconstructions?refine=none", content=npy(pattern), headers=NPY | PAGE)
    check(answer, 403, "may only read")
    check(await keyed.get("/v1/jobs", params={"owner": "bob"}), 403)


async def test_a_login_ends_with_its_key(keyed: httpx.AsyncClient) -> None:
    """Who is taken out of the keys file is out."""
    await log_in(keyed, "bob" * 8)
    services: Services = keyed.app.state.services  # type: ignore[attr-defined]
    services.keyring = Keyring([])
    check(await keyed.get("/v1/jobs"), 401, "the login has ended")


async def test_a_key_in_the_header_counts_before_the_cookie(keyed: httpx.AsyncClient) -> None:
    """A script that happens to have both is who its key says."""
    await log_in(keyed, "bob" * 8)
    answer = await keyed.get("/v1/login", headers={"Authorization": f"Apikey {'ada' * 8}"})
    assert answer.json()["owner"] == "ada"


async def test_without_a_queue_there_are_no_logins(serving: AppContext, settings: Settings) -> None:
    """A service that keeps nothing says so."""
    async with serving(settings) as client:
        check(await log_in(client), 503, "without a queue")
