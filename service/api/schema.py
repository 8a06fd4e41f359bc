"""The job document in the OpenAPI schema: one flat object, as `JobDocument.to_json` writes it."""

from dataclasses import MISSING, fields
from typing import Any, Final, get_type_hints

from pydantic import BaseModel, create_model

from inphase.imaging.report import Report
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
