"""Signatures, against a published example and the receiver of examples/."""

import base64
import time

import pytest
import receive_webhook

from service.webhooks.signature import headers, key_of

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """A message, a secret and a signature that are published with the specification's libraries."""
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    found = headers(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert found["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_receiver_believes_what_is_signed_and_nothing_else() -> None:
    """Another body, id, time or secret, and a message that is too old, are refused."""
    now = int(time.time())
    sent = headers(key_of(SECRET), "a", now, b"{}")
    assert receive_webhook.verified(SECRET, sent, b"{}") == {}
    rotated = sent | {"webhook-signature": f"v1,old {sent['webhook-signature']}"}
    assert receive_webhook.verified(SECRET, rotated, b"{}") == {}
    for wrong, body in (
        (sent, b"[]"),
        (sent | {"webhook-id": "b"}, b"{}"),
        (sent | {"webhook-timestamp": str(now + 1)}, b"{}"),
        (sent | {"webhook-signature": ""}, b"{}"),
        (headers(bytes(32), "a", now, b"{}"), b"{}"),
        (headers(key_of(SECRET), "a", now - 400, b"{}"), b"{}"),
    ):
        with pytest.raises(ValueError, match=r"signature|old"):
            receive_webhook.verified(SECRET, wrong, body)


@pytest.mark.parametrize(
    "secret", ["", "short", "not base64 but long enough, is it not?", base64.b64encode(bytes(23)).decode()]
)
def test_a_weak_secret_is_refused(secret: str) -> None:
    """With how to make one."""
    with pytest.raises(ValueError, match="openssl rand"):
        key_of(secret)
