"""Who did what: one line of the log for each action, of the logger `inphase.audit`.

What was bound to the request (`request_id`, `client`, `owner`, `proposal`, `key`) stands in every line that is written
while it is answered, also in threads.
"""

from typing import Literal

import structlog

Action = Literal["submit", "cancel", "delete", "login", "logout", "refuse", "activate"]

_log = structlog.get_logger("inphase.audit")


def note(action: Action, **about: str | int | None) -> None:
    """Write one line. about: what the action was done to; None is left out."""
    _log.info("audit", action=action, **{name: value for name, value in about.items() if value is not None})


def asked(request_id: str, client: str) -> None:
    """A request begins: nothing is known of who asks but the address."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request_id, client=client)


def known_as(*, owner: str, proposal: str | None, key: str) -> None:
    """Who asks is known. key: its id."""
    structlog.contextvars.bind_contextvars(owner=owner, key=key, **({"proposal": proposal} if proposal else {}))
