"""The interactive documentation at /docs, with its scripts from this machine: beamlines are offline."""

import importlib.util
from pathlib import Path

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles


def install(app: FastAPI) -> None:
    """Add /docs and the files it needs."""
    # the package is looked up, not imported: only its files are wanted
    spec = importlib.util.find_spec("fastapi_offline")
    assert spec is not None
    assert spec.origin is not None
    app.mount("/docs/static", StaticFiles(directory=Path(spec.origin).parent / "static"))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        """Swagger UI."""
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=f"{app.title} {app.version}",
            swagger_js_url="/docs/static/swagger-ui-bundle.js",
            swagger_css_url="/docs/static/swagger-ui.css",
            swagger_favicon_url="/docs/static/favicon.png",
        )
