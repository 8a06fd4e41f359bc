"""Routers whose addresses have one beginning."""

from fastapi import APIRouter
from starlette.routing import Match
from starlette.types import Scope


class Router(APIRouter):
    """A router that is passed over as a whole where an address does not begin as all of its own do.

    FastAPI tries one route after the other, which takes longer than all else that it does for a request.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether one of its routes has this address."""
        if not scope["path"].removeprefix(scope.get("root_path", "")).startswith(self.prefix):
            return Match.NONE, {}
        return super().matches(scope)
