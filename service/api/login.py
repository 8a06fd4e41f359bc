"""/v1/login: a browser shows its key once and gets a cookie, so that pictures and streams load by their address."""

from fastapi import Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from service import audit
from service.api.access import TheServices, in_thread
from service.api.routing import Router
from service.identity.keys import Caller, Scope, TheCaller, admit, confirm_page, cookie, digest
from service.identity.logins import LIFE_S, Logins
from service.jobs.errors import QueueUnavailableError
from service.lifecycle import Services

router = Router(prefix="/v1/login", tags=["login"])


class Credentials(BaseModel):
    """What a browser shows."""

    model_config = ConfigDict(extra="forbid")

    key: str = Field(max_length=1000, description="This is an API key of the service.")


class Login(BaseModel):
    """Who is logged in."""

    owner: str
    scope: Scope
    proposal: str | None


@router.post("", operation_id="log_in", summary="Log in", dependencies=[Depends(confirm_page)])
async def begin(credentials: Credentials, request: Request, response: Response, services: TheServices) -> Login:
    """A cookie for this key, for twelve hours: scripts cannot read it, and no other site makes a browser send it."""
    key = credentials.key.strip()
    found = admit(
        request,
        services.keyring.find(digest(key)),
        "the API key is wrong: `inphase serve` printed it, or INPHASE_API_KEY holds it",
    )
    token = await in_thread(lambda: _logins(services).open(digest(key)))
    audit.note("login")
    response.set_cookie(
        cookie(request), token, max_age=LIFE_S, httponly=True, samesite="strict", secure=request.url.scheme == "https"
    )
    return _login(found)


@router.get("", operation_id="get_login", summary="Who am I?")
async def current(caller: TheCaller) -> Login:
    """The owner and the scope of the key that this call came with."""
    return _login(caller)


@router.delete("", operation_id="log_out", summary="Log out", status_code=204)
async def end(request: Request, services: TheServices, caller: TheCaller) -> Response:
    """The cookie is worth nothing from here on."""
    if (token := request.cookies.get(cookie(request))) is not None:
        await in_thread(lambda: _logins(services).end(token))
        audit.note("logout")
    response = Response(status_code=204)
    response.delete_cookie(cookie(request), httponly=True, samesite="strict")
    return response


def _login(caller: Caller) -> Login:
    return Login(owner=caller.owner, scope=caller.scope, proposal=caller.proposal or None)


def _logins(services: Services) -> Logins:
    if services.logins is None:
        raise QueueUnavailableError("this service runs without a queue: it keeps no jobs, and no logins")
    return services.logins
