"""Where webhooks may go."""

import asyncio
import ipaddress
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from inphase.errors import InphaseError
from service.errors import ApiError
from service.webhooks.allowed import Allowed

ALLOWED = Allowed.of(["hooks.example", "daq.example:8443", "10.0.0.7:9000", "[fd00::1]:9000", "192.168.0.0/16"])


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example/a?b=c",
        "http://hooks.example",
        "https://HOOKS.example.:443/",
        "http://daq.example:8443/x",
        "http://10.0.0.7:9000",
        "http://[fd00::1]:9000/",
    ],
)
def test_hosts_that_the_operator_has_named_may_be_told(url: str) -> None:
    """By name and port; without a port it is the scheme's own."""
    ALLOWED.check(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://other.example/",
        "https://hooks.example.evil/",
        "https://evil.hooks.example/",
        "https://hooks.example:8080/",
        "https://daq.example/",
        "https://hooks.example@evil.example/",
        "https://evil@hooks.example/",
        "https://hooks.example\\@evil.example/",
        "ftp://hooks.example/",
        "file:///etc/passwd",
        "hooks.example",
        "//hooks.example",
        "https://192.168.0.1/",
        "http://10.0.0.7/",
        "https://[::1/",
        "https://hooks.example:99999/",
        "https://",
        "",
        "http://0x0a000007:9000/",
    ],
)
def test_no_other_address_may(url: str) -> None:
    """Whatever it looks like."""
    with pytest.raises(ApiError, match=r"^webhook: ") as raised:
        ALLOWED.check(url)
    assert raised.value.status == 422


def test_a_service_without_hosts_sends_none() -> None:
    """And says how they are named."""
    with pytest.raises(ApiError, match="INPHASE_WEBHOOK_HOSTS"):
        Allowed.of([]).check("https://hooks.example/")


@pytest.mark.parametrize(
    "entry", ["https://hooks.example", "10.0.0.0/33", "10.0.0.1/8", "a:b", ":80", "a:0", "u@a", "a?b", ""]
)
def test_an_entry_that_is_no_host_stops_the_start(entry: str) -> None:
    """With the entry."""
    with pytest.raises(InphaseError, match="INPHASE_WEBHOOK_HOSTS"):
        Allowed.of([entry])


def answers(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """DNS says these of every name."""

    async def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_UNSPEC, socket.SOCK_STREAM, 6, "", (found, 443)) for found in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.7", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "::1", "fe80::1", "fd00::2", "::ffff:10.1.2.3", "::ffff:127.0.0.1", "ff02::1",
        "64:ff9b::7f00:1", "2002:7f00:1::",
    ],
)  # fmt: skip
async def test_a_name_that_leads_inside_is_not_followed(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Its owner may let it point anywhere; the error says what would allow it."""
    answers(monkeypatch, address)
    with pytest.raises(PermissionError, match="not public"):
        await ALLOWED.resolve(urlsplit("https://hooks.example/"))


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (["93.184.216.34"], "93.184.216.34"),
        (["2606:4700::1111"], "2606:4700::1111"),
        (["192.168.7.7"], "192.168.7.7"),
        (["127.0.0.1", "93.184.216.34"], "93.184.216.34"),
        (["::ffff:192.168.7.7"], "::ffff:192.168.7.7"),
    ],
)
async def test_public_addresses_and_named_networks_are(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str], expected: str
) -> None:
    """The first of them that may be connected to."""
    answers(monkeypatch, *addresses)
    found = await ALLOWED.resolve(urlsplit("https://hooks.example/"))
    assert ipaddress.ip_address(found) == ipaddress.ip_address(expected)


async def test_a_host_that_is_named_by_its_address_is_followed_there_and_no_name_is() -> None:
    """No network need be named beside it."""
    assert await ALLOWED.resolve(urlsplit("http://10.0.0.7:9000/")) == "10.0.0.7"
