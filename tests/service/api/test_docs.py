"""The page of the API's documentation."""

import httpx


async def test_the_documentation_needs_no_network(client: httpx.AsyncClient) -> None:
    """Beamlines are offline: the page loads its script and style from the service."""
    page = (await client.get("/docs")).text
    assert "//cdn" not in page
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        assert f"/docs/static/{asset}" in page
        assert (await client.get(f"/docs/static/{asset}")).status_code == 200
