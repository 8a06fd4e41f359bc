"""Receive the webhooks of an inphase service, and believe only those that it has signed.

    WEBHOOK_SECRET=whsec_... python examples/receive_webhook.py --port 9000

The secret is the service's INPHASE_WEBHOOK_SECRET. Nothing but Python is needed. The signature is that of Standard
Webhooks, for which there are libraries in many languages.
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOLERANCE_S = 300  # an older message is somebody's recording
LARGEST = 100_000  # bytes of a body


def verified(secret: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """The message. Raises ValueError where it is not the service's, or is too old."""
    seconds = int(headers["webhook-timestamp"])
    if abs(time.time() - seconds) > TOLERANCE_S:
        raise ValueError("the message is too old")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = hmac.digest(key, f"{headers['webhook-id']}.{seconds}.".encode() + body, hashlib.sha256)
    expected = f"v1,{base64.b64encode(signed).decode()}"
    if not any(hmac.compare_digest(expected, found) for found in headers["webhook-signature"].split()):
        raise ValueError("the signature is wrong")
    message: dict[str, Any] = json.loads(body)
    return message


def server(secret: str, port: int, act: Callable[[dict[str, Any]], None]) -> ThreadingHTTPServer:
    """A server that calls `act` with each message once, however often it comes."""
    seen: set[str] = set()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            try:
                size = int(self.headers["content-length"])
                if size > LARGEST:
                    raise ValueError("the message is too long")
                message = verified(secret, self.headers, self.rfile.read(size))
            except (ValueError, TypeError, KeyError) as error:
                self.send_error(400, str(error))
                return
            if self.headers["webhook-id"] not in seen:
                seen.add(self.headers["webhook-id"])
                act(message)
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    return ThreadingHTTPServer(("", port), Receiver)


def main() -> None:
    """Print what happens to the jobs."""
    parser = argparse.ArgumentParser(description="Receive the webhooks of an inphase service.")
    parser.add_argument("--port", type=int, default=9000, help="The receiver listens on this port.")
    port = parser.parse_args().port

    def told(message: dict[str, Any]) -> None:
        job = message["data"]
        sys.stdout.write(f"{message['timestamp']} job {job['id']} of {job['owner']}: {job['state']} {job['reason']}\n")
        sys.stdout.flush()

    server(os.environ["WEBHOOK_SECRET"], port, told).serve_forever()


if __name__ == "__main__":
    main()
