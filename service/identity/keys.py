"""Who may call: `Authorization: Apikey <key>`, or Bearer; a browser that has logged in, by its cookie.
Only the keys' hashes are kept, and compared in constant time. `service.identity.file` has the file they come from.
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import anyio.to_thread
from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader
from pydantic import BaseModel, ConfigDict, Field, field_validator

from service import audit
from service.errors import ApiError
from service.identity.logins import Logins
from service.identity.rates import Rates
from service.jobs.entry import Party

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


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]  # of an owner or a proposal
_ID_DIGITS: Final = 12


@dataclass(frozen=True)
class Caller:
    """Who calls. Jobs belong to an owner; several keys may have the same one.

    roots: the folders whose files this key may name; None: all data roots. proposal: its people see and may cancel each
    other's jobs. key: the key's id. waiting_jobs: so many jobs of the key may wait; None: any number.
    """

    owner: str
    scope: Scope
    roots: tuple[Path, ...] | None = None
    proposal: str = ""
    key: str = ""
    waiting_jobs: int | None = None

    @property
    def party(self) -> Party | None:
        """Whose jobs this caller may know of; None for everybody's."""
        return None if self.scope is Scope.ADMIN else Party(self.owner, self.proposal)

    def sees(self, owner: str, proposal: str = "") -> bool:
        """Whether this caller may know of a job of that owner and proposal."""
        return self.party is None or self.party.has(owner, proposal)


class Key(BaseModel):
    """One line of the keys file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    owner: Name
    scope: Scope
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="This is the SHA-256 of the key.")
    proposal: Name | None = Field(
        None, description="The people of one proposal see each other's jobs, and may cancel them."
    )
    expires: datetime | None = Field(
        None,
        description="The key is refused from this time on, which is UTC unless it has an offset; a day alone means its "
        "end.",
    )
    waiting_jobs: int | None = Field(
        None, ge=1, description="At most so many jobs of this key wait to be read or refined."
    )
    requests_per_minute: int | None = Field(
        None, ge=1, description="At most so many requests of this key are served in a minute by one API process."
    )
    roots: tuple[Path, ...] | None = Field(
        None,
        description="Requests with the key may name the files of these folders, which lie below the data roots; "
        "without them those of all data roots.",
    )

    @field_validator("expires", mode="before")
    @classmethod
    def _end_of_day(cls, value: Any) -> Any:
        if isinstance(value, str):
            try:
                value = date.fromisoformat(value)
            except ValueError:
                return value
        if isinstance(value, date) and not isinstance(value, datetime):
            return datetime.combine(value + timedelta(days=1), time(), UTC)
        return value

    @field_validator("expires")
    @classmethod
    def _in_utc(cls, value: datetime | None) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value

    @classmethod
    def of(cls, key: str, owner: str, scope: Scope | str, **more: Any) -> "Key":
        """The line for a key. more: the other fields."""
        return cls.model_validate({"owner": owner, "scope": scope, "sha256": digest(key)} | more)

    @property
    def id(self) -> str:
        """What the key is called in lists, records and logs; it opens nothing."""
        return self.sha256[:_ID_DIGITS]

    @property
    def caller(self) -> Caller:
        """Who calls with it."""
        return Caller(self.owner, self.scope, self.roots, self.proposal or "", self.id, self.waiting_jobs)

    def expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expires is not None and self.expires <= now


ADMIN: Final = "admin"  # the owner of what the service's own key submits


class Keyring:
    """The keys that open the service."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = tuple(keys)

    def find(self, sha256: str) -> Key | None:
        """The key with this digest. Every key is compared, so that the time tells nothing."""
        found = None
        for known in self._keys:
            if hmac.compare_digest(sha256, known.sha256):
                found = known
        return found

    def admits(self, caller: Caller) -> bool:
        """Whether the key that a caller came with still opens: it is there, and its time is not over."""
        now = datetime.now(UTC)
        return any(known.id == caller.key and not known.expired(now) for known in self._keys)


def digest(key: str) -> str:
    """SHA-256 of a key, hexadecimal: what is kept of it."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


async def caller(request: Request, authorization: Annotated[str | None, Security(_header)]) -> Caller:
    """Who calls. Refuses a request without a key: 401, one by cookie alone that changes something: 403, and one that
    comes too soon: 429.
    """
    token = request.cookies.get(cookie(request))
    if authorization is None and token is not None:
        return await _logged_in(request, token)
    scheme, _, key = (authorization or "").partition(" ")
    keyring: Keyring = request.app.state.services.keyring
    found = keyring.find(digest(key.strip())) if scheme.lower() in _SCHEMES else None
    way = (
        "send the header 'Authorization: Apikey <key>' (or Bearer) with the key that `inphase serve` printed or "
        "INPHASE_API_KEY holds"
    )
    return admit(request, found, f"{_fault(authorization, scheme, key)}: {way}")


def admit(request: Request, key: Key | None, fault: str) -> Caller:
    """Who calls with this key. fault: why there is none. Raises ApiError 401, QuotaError."""
    if key is None or key.expired(datetime.now(UTC)):
        why = fault if key is None else "this key has expired: ask the operator for another one"
        audit.note("refuse", key=None if key is None else key.id, why=why.partition(":")[0], path=request.url.path)
        raise ApiError(401, why, headers={"WWW-Authenticate": _CHALLENGE})
    audit.known_as(owner=key.owner, proposal=key.proposal, key=key.id)
    rates: Rates = request.app.state.services.rates
    rates.take(key.id, key.requests_per_minute)
    return key.caller


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
    found = None if sha256 is None else keyring.find(sha256)
    return admit(request, found, "the login has ended: log in again with an API key")


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


async def administers(caller: TheCaller) -> None:
    """Refuse a key that is no administrator's: 403."""
    if caller.scope is not Scope.ADMIN:
        raise ApiError(403, f"this key of {caller.owner} may only {caller.scope}: use one with the scope admin")


Authorised = Depends(caller)
Submits = Depends(submits)
Administers = Depends(administers)
