"""GET /v1/models: what is installed, and what it runs on."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from service.api.access import TheServices
from service.lifecycle import Services

router = APIRouter(prefix="/v1/models", tags=["models"])


class ModelSummary(BaseModel):
    """One model."""

    name: str
    active: int
    versions: list[int]
    default: bool
    provider: str | None


class RefusedModel(BaseModel):
    """A folder of the repository that is no acceptable model."""

    folder: str
    why: str


class ModelList(BaseModel):
    """All models."""

    models: list[ModelSummary]
    refused: list[RefusedModel]


class ModelDetails(ModelSummary):
    """One model with the cards of its versions."""

    cards: list[dict[str, Any]] = Field(
        description="There is one card for each version, the oldest first, as docs/reference/models describes them."
    )


@router.get("", operation_id="list_models", summary="List models")
async def index(services: TheServices) -> ModelList:
    """Models of the repository, and folders that were refused."""
    repository = services.sessions.repository
    return ModelList(
        models=[_summary(services, name) for name in repository.names()],
        refused=[RefusedModel(folder=refusal.folder, why=refusal.why) for refusal in repository.refused],
    )


@router.get("/{name}", operation_id="get_model", summary="One model")
async def one(name: str, services: TheServices) -> ModelDetails:
    """A model with its cards."""
    summary = _summary(services, name)
    cards = [dict(version.content) for version in services.sessions.repository.versions(name)]
    return ModelDetails(**summary.model_dump(), cards=cards)


def _summary(services: Services, name: str) -> ModelSummary:
    repository = services.sessions.repository
    active = repository.active(name)
    return ModelSummary(
        name=name,
        active=active.card.version,
        versions=[version.card.version for version in repository.versions(name)],
        default=name == repository.default.partition("@")[0],
        provider=services.sessions.provider(active),
    )
