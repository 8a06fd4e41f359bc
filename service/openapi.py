"""The OpenAPI schema as a file, for whoever generates a client: `make openapi` writes docs/reference/openapi.json."""

import json
import sys
from typing import Any

from service.app import create_app
from service.settings import Settings, new_key


def schema() -> dict[str, Any]:
    """What a service answers at /openapi.json, whatever its settings are."""
    return create_app(Settings(api_key=new_key(), queue=False)).openapi()


if __name__ == "__main__":
    sys.stdout.write(f"{json.dumps(schema(), indent=1, ensure_ascii=False)}\n")
