"""The page's files and their headers; tests/page looks at it in a browser."""

import gzip
import re

import httpx

from service.page.serving import BUILT

BUDGET = 150_000  # bytes of code that a browser loads, packed


async def test_the_page_needs_no_key_and_trusts_only_its_own_files(client: httpx.AsyncClient) -> None:
    """Nothing within the page is a script or a style, and nothing comes from elsewhere."""
    del client.headers["Authorization"]
    page = await client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in page.headers["content-security-policy"]
    assert not re.search(r"<script(?![^>]*src=)|<style|style=|https?://", page.text)
    assert page.headers["cache-control"] == "no-cache"


async def test_assets_are_kept_for_ever_under_names_with_a_digest(client: httpx.AsyncClient) -> None:
    """Script, style and icon; the page itself is asked for anew, and a known one is not sent again."""
    page = await client.get("/")
    names = re.findall(r"page/([\w.-]+)", page.text)
    assert [name.rpartition(".")[2] for name in names] == ["svg", "css", "js"]
    for name in names:
        assert re.search(r"-[A-Za-z0-9]{8}\.", name)
        asset = await client.get(f"/page/{name}")
        assert "immutable" in asset.headers["cache-control"]
        assert asset.headers["content-encoding"] == "gzip"
        assert asset.content == (BUILT / name).read_bytes()
    known = await client.get("/", headers={"If-None-Match": page.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")
    plain = await client.get(f"/page/{names[-1]}", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers


async def test_other_files_are_not_served(client: httpx.AsyncClient) -> None:
    """Only what was built."""
    for name in ("index.html", "serving.py", "..%2fserving.py", "no-such.js"):
        assert (await client.get(f"/page/{name}")).status_code == 404


def test_the_code_is_within_its_budget() -> None:
    """All that a browser loads, packed as it is sent, so that it is there at once over a slow line too."""
    code = [path for path in BUILT.iterdir() if path.suffix in (".js", ".css", ".html")]
    assert len(code) == 3
    assert sum(len(gzip.compress(path.read_bytes())) for path in code) < BUDGET
