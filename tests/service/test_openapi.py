"""The committed OpenAPI schema."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

COMMITTED = Path(__file__).resolve().parents[2] / "docs/reference/openapi.json"


def operations(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every operation with its method and path."""
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


async def test_the_committed_schema_is_that_of_the_running_service(client: httpx.AsyncClient) -> None:
    """Whoever changes a route, a field or a description runs `make openapi` and commits what changed."""
    assert json.loads(COMMITTED.read_text(encoding="utf-8")) == (await client.get("/openapi.json")).json()


def test_every_operation_has_a_name_that_a_generated_client_can_bear() -> None:
    """A verb and a noun in snake case, each once; tags are words as well, since they become modules or classes."""
    names = {where: operation["operationId"] for where, operation in operations(json.loads(COMMITTED.read_text()))}
    assert len(names) >= 25
    assert len(set(names.values())) == len(names)
    assert not [where for where, name in names.items() if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)+", name)]


def test_every_operation_is_described() -> None:
    """With a summary, one tag, a description, and what it answers when all is well."""
    for where, operation in operations(json.loads(COMMITTED.read_text())):
        assert operation["summary"], where
        assert operation["description"], where
        assert len(operation["tags"]) == 1, where
        assert {"200", "201", "202", "204"} & operation["responses"].keys(), where
