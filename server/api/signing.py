"""Signed URLs of uploads and downloads: minting and checking. Pure: the clock is an argument.

What is signed is what a URL means: the method, the path and our parameters, decoded. Order,
percent-encoding and parameters of others change nothing of that, and clients and proxies change
them. The values that are minted have no character that could be written in another way.
"""

import base64
import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote, urlencode

from msgspec import Struct

from server.errors import StemboxError

BASE: Final = "/api/v1"
PLAIN: Final = re.compile(r"[A-Za-z0-9._/-]+").fullmatch
SIGNATURE: Final = "signature"

Query = Iterable[tuple[str, str]]
"""The decoded names and values of a query, repeated names included."""


class BadSignature(StemboxError):
    """A URL that this server did not sign, or whose meaning has been changed."""


class UrlExpired(StemboxError):
    """A signed URL whose time is over."""


class UploadGrant(Struct, frozen=True):
    """What a signed PUT allows: one file at `key`, until `expires` (unix seconds).

    content_type: where the client chose one.
    """

    key: str
    expires: int
    max_bytes: int
    content_type: str | None = None


class DownloadGrant(Struct, frozen=True):
    """What a signed GET allows: the file `name` of a job, until `expires` (unix seconds)."""

    job_id: str
    name: str
    expires: int


class Signer:
    """Mints and checks signed paths with one secret."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def upload_path(self, grant: UploadGrant) -> str:
        """Path and query of a signed PUT."""
        fields = {"expires": str(grant.expires), "max": str(grant.max_bytes)}
        if grant.content_type is not None:
            fields["type"] = _wrapped(grant.content_type)
        return self._signed("PUT", f"{BASE}/{_quoted(grant.key)}?{urlencode(fields)}")

    def download_path(self, grant: DownloadGrant) -> str:
        """Path and query of a signed GET (or HEAD)."""
        place = _quoted(f"{grant.job_id}/{grant.name}")
        return self._signed("GET", f"{BASE}/downloads/{place}?expires={grant.expires}")

    def check_upload(self, key: str, query: Query, now: float) -> UploadGrant:
        """The grant of a PUT to `key`, a decoded path.

        Raises:
            BadSignature, UrlExpired.
        """
        fields = self._checked("PUT", f"{BASE}/{_quoted(key)}", query, ("expires", "max", "type"))
        kind = _unwrapped(fields["type"]) if "type" in fields else None
        grant = UploadGrant(key, int(fields["expires"]), int(fields["max"]), kind)
        _in_time(grant.expires, now)
        return grant

    def check_download(self, job_id: str, name: str, query: Query, now: float) -> int:
        """Lets a GET or HEAD of a job's file pass; until when (unix seconds). Raises as
        `check_upload`."""
        path = f"{BASE}/downloads/{_quoted(f'{job_id}/{name}')}"
        fields = self._checked("GET", path, query, ("expires",))
        expires = int(fields["expires"])
        _in_time(expires, now)
        return expires

    def _signed(self, method: str, unsigned: str) -> str:
        return f"{unsigned}&{SIGNATURE}={self._signature(method, unsigned)}"

    def _signature(self, method: str, unsigned: str) -> str:
        digest = hmac.digest(self._secret, f"{method} {unsigned}".encode(), "sha256")
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def _checked(
        self, method: str, path: str, query: Query, names: tuple[str, ...]
    ) -> Mapping[str, str]:
        """Our own parameters of a query, once they are known to be as they were minted.

        They are written as the minted URL has them, one spelling for one meaning, and signed
        anew: what this server signed itself can be read without a doubt.
        """
        own = [(name, value) for name, value in query if name in names or name == SIGNATURE]
        found = dict(own)
        if len(found) < len(own):  # which one of two would be meant?
            raise BadSignature("A parameter of this URL's signature comes twice")
        fields = {name: found[name] for name in names if name in found}
        minted = self._signature(method, f"{path}?{urlencode(fields)}")
        if not hmac.compare_digest(found.get(SIGNATURE, "").encode(), minted.encode()):
            raise BadSignature("The signature of this URL does not match")
        return fields


def _quoted(place: str) -> str:
    """Ids, keys and names of ours are plain: this is done often."""
    return place if PLAIN(place) else quote(place)


def _wrapped(text: str) -> str:
    """Text without a character that a URL's query could write in another way."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _unwrapped(text: str) -> str:
    return base64.urlsafe_b64decode(f"{text}==").decode()


def _in_time(expires: int, now: float) -> None:
    if now >= expires:
        raise UrlExpired("This URL has expired")
