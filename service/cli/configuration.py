"""The settings of a service, with what the command line gives over the environment."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from inphase.errors import InphaseError

if TYPE_CHECKING:
    from service.settings import Settings

Url = Annotated[str, typer.Option(envvar="INPHASE_URL", help="The command talks to the service at this address.")]
ApiKey = Annotated[str, typer.Option("--api-key", envvar="INPHASE_API_KEY", help="The service knows you by this key.")]
Json = Annotated[bool, typer.Option("--json", help="The command prints JSON instead of a table.")]
RedisUrl = Annotated[
    str | None, typer.Option(help="The service has its queue in this Redis (REDIS_URL) [default: its embedded one].")
]
StateDir = Annotated[
    Path | None,
    typer.Option(help="The service on this machine has its state in this folder [default: ~/.local/state/inphase]."),
]
LOCAL: Final = "http://127.0.0.1:8000"


def configured(**given: Any) -> "Settings":
    """The settings; what is None is left to the environment."""
    from service.settings import Settings

    return Settings(**{name: value for name, value in given.items() if value is not None})


def redis_of(settings: "Settings") -> str:
    """The address of the Redis that a service uses:
    the one that is set, or the embedded one of a service on this machine.
    """
    from service.jobs.embedded import url_of

    url = settings.redis_address or url_of(settings.state / "redis")
    if url is None:
        raise InphaseError(f"no Redis: start `inphase serve` with the state folder {settings.state}, or set REDIS_URL")
    return url
