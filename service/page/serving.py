"""The page at `/`: files that were bundled when the service was made (page/), with headers that trust nothing else."""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request, Response

from service.errors import ApiError

BUILT: Final = Path(__file__).with_name("built")
INDEX: Final = "index.html"
# nothing from elsewhere, no script or style within a page; pictures are also made of what was fetched (blob:)
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}
_FOR_EVER: Final = "public, max-age=31536000, immutable"  # the name of an asset holds the digest of its content


@dataclass(frozen=True)
class Asset:
    """One file of the page, plain and packed."""

    plain: bytes
    packed: bytes
    media_type: str
    etag: str

    @classmethod
    def of(cls, path: Path) -> "Asset":
        """Read it."""
        plain = path.read_bytes()
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return cls(plain, gzip.compress(plain, mtime=0), kind, f'"{hashlib.sha256(plain).hexdigest()[:32]}"')


def install(app: FastAPI) -> None:
    """Add `/` and the files it needs."""
    assets = {path.name: Asset.of(path) for path in BUILT.iterdir()}

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        """The page; asked for anew every time, so that a new version of the service shows at once."""
        return _answer(request, assets[INDEX], "no-cache")

    @app.get("/page/{name}", include_in_schema=False)
    async def asset(name: str, request: Request) -> Response:
        """Script, style and icon."""
        found = assets.get(name)
        if found is None or name == INDEX:
            raise ApiError(404, f"the page has no file {name[:80]!r}: load the page again")
        return _answer(request, found, _FOR_EVER)


def _answer(request: Request, asset: Asset, cached: str) -> Response:
    headers = {**_HEADERS, "ETag": asset.etag, "Cache-Control": cached, "Vary": "Accept-Encoding"}
    if request.headers.get("if-none-match") == asset.etag:
        return Response(status_code=304, headers=headers)
    packed = "gzip" in request.headers.get("accept-encoding", "")
    if packed:
        headers["Content-Encoding"] = "gzip"
    return Response(asset.packed if packed else asset.plain, headers=headers, media_type=asset.media_type)
