"""Who may call: `Authorization: Apikey <key>`. Only the key's hash is kept, and compared in constant time."""

import hashlib
import hmac
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader

from service.errors import ApiError

_header = APIKeyHeader(name="Authorization", scheme_name="Apikey", description="`Apikey <key>`", auto_error=False)


class Keyring:
    """The key that opens the service."""

    def __init__(self, key: str) -> None:
        self._digest = _hash(key)

    def opens(self, key: str) -> bool:
        """Whether this is the key."""
        return hmac.compare_digest(_hash(key), self._digest)


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


async def require_key(request: Request, authorization: Annotated[str | None, Security(_header)]) -> None:
    """Refuse a request without the right key: 401."""
    scheme, _, key = (authorization or "").partition(" ")
    keyring: Keyring = request.app.state.services.keyring
    if scheme.lower() != "apikey" or not keyring.opens(key.strip()):
        what = "the API key is wrong" if authorization else "an API key is needed"
        raise ApiError(
            401,
            f"{what}: send the header 'Authorization: Apikey <key>' with the key that `inphase serve` printed or INPHASE_API_KEY holds",
            headers={"WWW-Authenticate": "Apikey"},
        )


Authorised = Depends(require_key)
