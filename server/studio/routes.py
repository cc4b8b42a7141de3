"""`GET /`, `GET /docs` and `GET /studio/{file}`: the page, the reference, their built files.

Pages are asked for anew each time (a tag makes that cheap); the files have a hash in their
names and stay in browsers' caches for good.
"""

import gzip
import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

DIST: Final = Path(__file__).parent / "dist"
PAGE: Final = "index.html"
REFERENCE: Final = "docs.html"
TYPES: Final[Mapping[str, str]] = MappingProxyType({
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
})  # fmt: skip
FOR_GOOD: Final = "public, max-age=31536000, immutable"
# The page's stretcher (tempo and key) is WebAssembly out of one of its own files, which browsers
# compile only where the policy says so. This allows that and no more: no eval, no inline script.
PAGE_SCRIPTS: Final = "script-src 'self' 'wasm-unsafe-eval'"
SCRIPTS: Final = "script-src 'self'"
POLICY: Final = (
    "default-src 'none'", "style-src 'self'", "img-src 'self' data:",
    "connect-src 'self'", "worker-src 'self'", "base-uri 'none'", "form-action 'self'",
    "frame-ancestors 'none'",
)  # fmt: skip
GUARDS: Final[Mapping[str, str]] = MappingProxyType({
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
})  # fmt: skip


class Asset(Struct, frozen=True):
    """One built file, as it is and compressed."""

    media_type: str
    plain: bytes
    packed: bytes
    etag: str


def routes() -> list[Route]:
    """The routes, over the built files that are read once, here."""
    studio = Studio({path.name: _asset(path) for path in DIST.iterdir() if path.suffix in TYPES})
    return [
        Route("/", studio.page),
        Route("/docs", studio.reference),
        Route("/studio/{file}", studio.file),
    ]


class Studio:
    """Answers with the built files, which are few and held in memory."""

    def __init__(self, assets: Mapping[str, Asset]) -> None:
        self._assets = assets

    async def page(self, request: Request) -> Response:
        """The page itself."""
        return _answer(request, self._assets[PAGE], "no-cache", PAGE_SCRIPTS)

    async def reference(self, request: Request) -> Response:
        """The reference of both APIs."""
        return _answer(request, self._assets[REFERENCE], "no-cache")

    async def file(self, request: Request) -> Response:
        """One of its files; 404 for every other name."""
        asset = self._assets.get(request.path_params["file"])
        if asset is None:
            raise HTTPException(404)
        return _answer(request, asset, FOR_GOOD)


def _asset(path: Path) -> Asset:
    plain = path.read_bytes()
    etag = f'W/"{hashlib.sha256(plain).hexdigest()[:32]}"'  # weak: one for both codings
    return Asset(TYPES[path.suffix], plain, gzip.compress(plain, mtime=0), etag)


def _answer(
    request: Request, asset: Asset, caching: str, scripts: str = SCRIPTS
) -> Response:
    headers = {
        **GUARDS,
        "Content-Security-Policy": "; ".join((scripts, *POLICY)),
        "Cache-Control": caching,
        "ETag": asset.etag,
        "Vary": "Accept-Encoding",
    }
    if asset.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    body = asset.plain
    if _takes_gzip(request.headers.get("accept-encoding", "")):
        body = asset.packed
        headers["Content-Encoding"] = "gzip"
    return Response(body, headers=headers, media_type=asset.media_type)


def _takes_gzip(accepted: str) -> bool:
    for offer in accepted.lower().split(","):
        coding, _, weight = offer.partition(";")
        if coding.strip() == "gzip":
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
