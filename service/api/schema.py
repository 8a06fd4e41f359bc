"""The job document in the OpenAPI schema: one flat object, as `JobDocument.to_json` writes it."""

from dataclasses import MISSING, fields
from typing import Any, Final, get_type_hints

from pydantic import BaseModel, create_model

from inphase.imaging.report import Report
from service.api.bodies.media import JSON
from service.document import JobDocument


def _flat() -> type[BaseModel]:
    """The parts of the report, null until the pattern has been read, and the envelope around them."""
    hints = get_type_hints(Report, include_extras=True)
    parts: dict[str, Any] = {part.name: (hints[part.name] | None, None) for part in fields(Report)}
    hints = get_type_hints(JobDocument, include_extras=True)
    for part in fields(JobDocument):
        if part.name != "report":
            required = part.default is MISSING and part.default_factory is MISSING
            parts[part.name] = (hints[part.name], ... if required else None)
    return create_model(
        "JobDocument", __doc__="The job, and the report of its reconstruction (docs/reference/http).", **parts
    )


JOB: Final = _flat()


def request_body(model: type[BaseModel], example: dict[str, Any], *media: str) -> dict[str, Any]:
    """What FastAPI is to say of a body that is parsed by hand: JSON of a model, or octets of these media types."""
    octets = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in media}
    told = {JSON: {"schema": described(model), "example": example}}
    return {"requestBody": {"required": True, "content": told | octets}}


def described(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a model, which refers to others by their names among the components."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    return schema
