"""Logins of browsers: a random token stands for an API key for some hours. Redis keeps the digests of both.

A login is known to every API process, outlives their restarts, and ends when its key is taken out of the keys file.
"""

import hashlib
import secrets
from typing import Final, cast

from service.jobs.connection import connect, translated
from service.jobs.scripts import PREFIX

LIFE_S: Final = 12 * 3600  # a shift at the beamline


class Logins:
    """Every method blocks for about 0.1 ms. Raises QueueUnavailableError where Redis does not answer."""

    def __init__(self, url: str) -> None:
        self._client = connect(url)

    def open(self, key_sha256: str) -> str:
        """Log in with a key, given as its digest; the token."""
        token = secrets.token_urlsafe(32)
        with translated(self._client):
            self._client.set(_slot(token), key_sha256, ex=LIFE_S)
        return token

    def key_of(self, token: str) -> str | None:
        """The digest of the key that this token stands for; None where the login has ended."""
        with translated(self._client):
            found = cast(bytes | None, self._client.get(_slot(token)))
        return None if found is None else found.decode()

    def end(self, token: str) -> None:
        """Log out."""
        with translated(self._client):
            self._client.delete(_slot(token))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _slot(token: str) -> str:
    return f"{PREFIX}login:{hashlib.sha256(token.encode('utf-8', 'surrogateescape')).hexdigest()}"
