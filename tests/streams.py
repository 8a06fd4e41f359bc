"""What the service sends as server-sent events."""

import json
from typing import Any


def sent(*events: tuple[str, str, dict[str, Any]]) -> bytes:
    """A stream of events as the service writes it."""
    lines = [f"event: {kind}\nid: {number}\ndata: {json.dumps(data)}\n\n" for number, kind, data in events]
    return (": inphase\nretry: 2000\n\n" + ": waiting\n\n".join(lines)).encode()
