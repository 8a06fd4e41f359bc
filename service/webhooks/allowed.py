"""Where webhooks may go: hosts that the operator has named, at addresses that are public or named as well."""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from inphase.errors import InphaseError
from service.errors import ApiError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Allowed:
    """hosts: name and port; without a port the scheme's own is meant. networks: whose addresses may be connected to
    although they are not public.
    """

    hosts: frozenset[tuple[str, int | None]]
    networks: tuple[Network, ...]

    @classmethod
    def of(cls, entries: Iterable[str]) -> "Allowed":
        """From `hooks.example`, `daq.example:8443`, `10.0.0.7:9000` and `10.0.0.0/8`. Raises InphaseError."""
        hosts, networks = set(), []
        for entry in entries:
            if "/" in entry:
                networks.append(_network(entry))
            else:
                hosts.add(_host(entry))
        return cls(frozenset(hosts), tuple(networks))

    def check(self, url: str) -> None:
        """Refuse an address that no webhook may go to, as far as it shows without asking DNS. Raises ApiError."""
        if not self.hosts:
            raise ApiError(422, "webhook: this service sends none; its operator names hosts with INPHASE_WEBHOOK_HOSTS")
        try:
            parts = urlsplit(url)
            host, port = host_of(parts), port_of(parts)
        except ValueError:
            host, port = "", 0
        if not host or parts.scheme not in _PORTS or parts.username is not None:
            raise ApiError(
                422, "webhook: it is no address such as https://hooks.example/inphase, without a user's name"
            )
        own = port == _PORTS[parts.scheme]
        if (host, port) not in self.hosts and not (own and (host, None) in self.hosts):
            raise ApiError(
                422, f"webhook: {host}:{port} is none of the hosts that this service may call (INPHASE_WEBHOOK_HOSTS)"
            )

    async def resolve(self, parts: SplitResult) -> str:
        """An address of a host that may be connected to. Raises OSError where it has none."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host_of(parts), port_of(parts), type=socket.SOCK_STREAM)
        addresses = [ipaddress.ip_address(answer[4][0]) for answer in found]
        for address in addresses:
            if self._may(address) or address == _address(host_of(parts)):  # a host that is named by its address
                return str(address)
        raise PermissionError(
            f"{parts.hostname} has the address {addresses[0]}, which is not public: the operator allows it by naming "
            f"{ipaddress.ip_network(addresses[0])} in INPHASE_WEBHOOK_HOSTS"
        )

    def _may(self, address: Address) -> bool:
        meant = _meant(address)
        if any(meant in network for network in self.networks):
            return True
        return meant.is_global and not meant.is_multicast


def host_of(parts: SplitResult) -> str:
    """The host of an address, as names are compared."""
    return (parts.hostname or "").rstrip(".").lower()


def port_of(parts: SplitResult) -> int:
    """The port of an address, its scheme's where it names none. Raises ValueError for a port that is none."""
    return parts.port or _PORTS.get(parts.scheme, 0)


def _meant(address: Address) -> Address:
    """The address of IPv4 that one of IPv6 leads to, where it is made of one: mapped, 6to4 or NAT64."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _network(entry: str) -> Network:
    try:
        return ipaddress.ip_network(entry)
    except ValueError as error:
        raise InphaseError(f"INPHASE_WEBHOOK_HOSTS: {entry!r} is no network such as 10.0.0.0/8: {error}") from None


def _host(entry: str) -> tuple[str, int | None]:
    bare = _address(entry)
    try:
        parts = urlsplit(f"//[{entry}]" if bare is not None and bare.version == 6 else f"//{entry}")
        port = parts.port
    except ValueError:
        port, parts = 0, urlsplit("")
    if not parts.hostname or parts.path or parts.query or parts.username is not None or port == 0:
        raise InphaseError(f"INPHASE_WEBHOOK_HOSTS: {entry!r} is no host such as hooks.example or daq.example:8443")
    return host_of(parts), port


def _address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
