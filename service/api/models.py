"""/v1/models: what is installed, what it runs on, and which version requests get."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from service import audit
from service.api.access import TheServices
from service.api.routing import Router
from service.identity.keys import Administers
from service.lifecycle import Services

router = Router(prefix="/v1/models", tags=["models"])


class PassedOver(BaseModel):
    """What was to run a network and does not, and why."""

    model_config = ConfigDict(from_attributes=True)

    execution: str
    why: str


class ModelSummary(BaseModel):
    """One model. active: the version of requests that name none; null where the one that was chosen was refused."""

    name: str
    family: str = Field(
        description="The newest version images volumes (volume), single frames (image), or parts of a ptychographic "
        "object (scan)."
    )
    active: int | None
    versions: list[int]
    default: bool
    provider: str | None = Field(description="The active version runs on this; null where it is not loaded.")
    arithmetic: str | None = Field(description="It computes in float32, TF32 or bfloat16.")
    passed_over: list[PassedOver] = Field(description="This was to run it before that, and does not.")


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


class Choice(BaseModel):
    """Which version is to be the active one."""

    model_config = ConfigDict(extra="forbid")

    version: int = Field(ge=1, description="This version is what requests get which name none.")


@router.put("/{name}/active", operation_id="activate_model", summary="Activate a version", dependencies=[Administers])
async def activate(name: str, choice: Choice, services: TheServices) -> ModelDetails:
    """Later requests that name no version get this one, an older one as well; it is loaded before. What is being
    computed goes on with what it has begun with.
    """
    version = await services.compute(lambda: services.catalogue.activate(name, choice.version))
    audit.note("activate", model=version.label)
    return await one(name, services)


def _summary(services: Services, name: str) -> ModelSummary:
    repository = services.sessions.repository
    versions = repository.versions(name)
    active = next((found for found in versions if repository.is_active(found)), None)
    session = active and services.sessions.loaded(active)
    return ModelSummary(
        name=name,
        family=versions[-1].content["family"],
        active=active and active.card.version,
        versions=[version.card.version for version in versions],
        default=name == repository.default.partition("@")[0],
        provider=session and session.provider,
        arithmetic=session and session.execution.arithmetic,
        passed_over=[PassedOver.model_validate(found) for found in session.passed_over] if session else [],
    )
