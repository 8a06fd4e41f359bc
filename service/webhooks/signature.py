"""How a receiver knows that a webhook is ours: the headers of Standard Webhooks (standardwebhooks.com), version 1.0.0.

`webhook-signature` is `v1,` and the base64 of HMAC-SHA256 over `<webhook-id>.<webhook-timestamp>.<body>`.
"""

import base64
import binascii
import hashlib
import hmac
from typing import Final

_PREFIX: Final = "whsec_"
_KEY_BYTES: Final = 24


def key_of(secret: str) -> bytes:
    """The key that a secret stands for: base64, with or without `whsec_`. Raises ValueError for a short one."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if len(key) < _KEY_BYTES:
        raise ValueError(
            f"a webhook secret is the base64 of {_KEY_BYTES} bytes at least: `openssl rand -base64 32` makes one"
        )
    return key


def headers(key: bytes, message_id: str, seconds: int, body: bytes) -> dict[str, str]:
    """What is sent beside a body. message_id: the same for each attempt. seconds: Unix time of this attempt."""
    signed = hmac.digest(key, f"{message_id}.{seconds}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }
