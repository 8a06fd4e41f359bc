"""Who may call: `Authorization: Apikey <key>`, or Bearer; a browser that has logged in, by its cookie.
Only the keys' hashes are kept, and compared in constant time.
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import anyio.to_thread
import yaml
from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from inphase.errors import InphaseError
from service.errors import ApiError
from service.identity.logins import Logins

_header = APIKeyHeader(
    name="Authorization",
    scheme_name="Apikey",
    description="The header is `Apikey <key>` or `Bearer <key>`.",
    auto_error=False,
)


_SCHEMES: Final = ("apikey", "bearer")  # compared without case (RFC 9110, 11.1)
PAGE_HEADER: Final = "Inphase-Page"  # a page of another origin cannot send it: browsers ask first, and nobody says yes
_SAFE: Final = ("GET", "HEAD")
_CHALLENGE: Final = 'Apikey realm="inphase", Bearer realm="inphase"'  # Bearer has a parameter at least (RFC 6750, 3)


class Scope(StrEnum):
    """What a key may do; each includes the ones before it. ADMIN sees and cancels the jobs of everybody."""

    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"

    def covers(self, other: "Scope") -> bool:
        """Whether this scope includes the other."""
        order = list(Scope)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True)
class Caller:
    """Who calls. Jobs belong to an owner; several keys may have the same one.

    roots: the folders whose files this key may name; None: all data roots.
    """

    owner: str
    scope: Scope
    roots: tuple[Path, ...] | None = None

    def sees(self, owner: str) -> bool:
        """Whether this caller may know of a job of that owner."""
        return self.scope is Scope.ADMIN or owner == self.owner


class Key(BaseModel):
    """One line of the keys file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    owner: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    scope: Scope
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="This is the SHA-256 of the key.")
    roots: tuple[Path, ...] | None = Field(
        None,
        description="Requests with the key may name the files of these folders, which lie below the data roots; "
        "without them those of all data roots.",
    )

    @classmethod
    def of(cls, key: str, owner: str, scope: Scope) -> "Key":
        """The line for a key."""
        return cls(owner=owner, scope=scope, sha256=digest(key))


ADMIN: Final = "admin"  # the owner of what the service's own key submits


def read_keys(path: Path, data_roots: tuple[Path, ...]) -> tuple[Key, ...]:
    """The keys of a YAML file: a list of owner, scope, sha256 and roots, these as real folders. Raises InphaseError."""
    return tuple(_rooted(key, path, data_roots) for key in _parsed(path))


def _rooted(key: Key, path: Path, data_roots: tuple[Path, ...]) -> Key:
    if key.roots is None:
        return key
    real = tuple(root.resolve() for root in key.roots)
    for root in real:
        if not root.is_dir() or not any(root.is_relative_to(above) for above in data_roots):
            raise InphaseError(f"{path}: the root {root} of {key.owner} is no folder below a data root")
    return key.model_copy(update={"roots": real})


def _parsed(path: Path) -> tuple[Key, ...]:
    try:
        return TypeAdapter(tuple[Key, ...]).validate_python(yaml.safe_load(path.read_text(encoding="utf-8")) or ())
    except (yaml.YAMLError, UnicodeDecodeError, ValidationError) as error:
        raise InphaseError(
            f"{path} is no keys file: a list of owner, scope (read, submit, admin) and sha256; `inphase key` makes "
            f"one: {error}"
        ) from error


class Keyring:
    """The keys that open the service."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = tuple(keys)

    def caller(self, key: str) -> Caller | None:
        """Whose key this is. Every key is compared, so that the time tells nothing."""
        return self.bearer(digest(key))

    def bearer(self, sha256: str) -> Caller | None:
        """Whose key has this digest."""
        found = None
        for known in self._keys:
            if hmac.compare_digest(sha256, known.sha256):
                found = Caller(known.owner, known.scope, known.roots)
        return found


def digest(key: str) -> str:
    """SHA-256 of a key, hexadecimal: what is kept of it."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


async def caller(request: Request, authorization: Annotated[str | None, Security(_header)]) -> Caller:
    """Who calls; the log tells, too. Refuses a request without a key: 401, and one by cookie alone that changes
    something: 403.
    """
    found = await _caller(request, authorization)
    request.state.caller = found.owner
    return found


async def _caller(request: Request, authorization: str | None) -> Caller:
    token = request.cookies.get(cookie(request))
    if authorization is None and token is not None:
        return await _logged_in(request, token)
    scheme, _, key = (authorization or "").partition(" ")
    keyring: Keyring = request.app.state.services.keyring
    found = keyring.caller(key.strip()) if scheme.lower() in _SCHEMES else None
    if found is None:
        raise ApiError(
            401,
            f"{_fault(authorization, scheme, key)}: send the header 'Authorization: Apikey <key>' (or Bearer) with the "
            "key that `inphase serve` printed or INPHASE_API_KEY holds",
            headers={"WWW-Authenticate": _CHALLENGE},
        )
    return found


def cookie(request: Request) -> str:
    """The name of the cookie of a login. Cookies know no ports: services on one host would overwrite each other's."""
    return f"inphase-login-{request.url.port or request.url.scheme}"


async def confirm_page(request: Request) -> None:
    """Refuse what a page of another origin made a browser send: 403."""
    if PAGE_HEADER not in request.headers:
        raise ApiError(
            403,
            f"a call that changes something needs the header {PAGE_HEADER} (any value) beside the cookie of a login, "
            "or a key in the header Authorization",
        )


async def _logged_in(request: Request, token: str) -> Caller:
    """Who has logged in with this token. 401 where the login has ended, or its key is not valid any more."""
    if request.method not in _SAFE:
        await confirm_page(request)
    logins: Logins | None = request.app.state.services.logins
    sha256 = None if logins is None else await anyio.to_thread.run_sync(lambda: logins.key_of(token))
    keyring: Keyring = request.app.state.services.keyring
    found = None if sha256 is None else keyring.bearer(sha256)
    if found is None:
        raise ApiError(
            401, "the login has ended: log in again with an API key", headers={"WWW-Authenticate": _CHALLENGE}
        )
    return found


def _fault(authorization: str | None, scheme: str, key: str) -> str:
    """What is wrong with the header. It may hold a key, so nothing of it is repeated."""
    if not authorization:
        return "an API key is needed"
    if scheme.lower() in _SCHEMES:
        return "the API key is wrong" if key.strip() else "the API key is missing after the scheme"
    return "this scheme is not taken" if key else "the scheme is missing before the key"


TheCaller = Annotated[Caller, Depends(caller)]


async def submits(caller: TheCaller) -> None:
    """Refuse a key that only reads: 403."""
    if not caller.scope.covers(Scope.SUBMIT):
        raise ApiError(403, f"this key of {caller.owner} may only {caller.scope}: use one with the scope submit")


Authorised = Depends(caller)
Submits = Depends(submits)
