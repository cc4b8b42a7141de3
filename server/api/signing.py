"""Signed URLs of uploads and downloads: minting and checking. Pure: the clock is an argument.

What is signed is the whole path and query, as text. A URL is checked by minting it anew from
what it says and comparing all of it, so that there is one spelling of it and no other.
"""

import base64
import hmac
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlencode

from msgspec import Struct

from server.errors import StemboxError

BASE: Final = "/api/v1"
PLAIN: Final = re.compile(r"[A-Za-z0-9._/-]+").fullmatch


class BadSignature(StemboxError):
    """A URL that this server did not sign, or that has been changed."""


class UrlExpired(StemboxError):
    """A signed URL whose time is over."""


class UploadGrant(Struct, frozen=True):
    """What a signed PUT allows: one file at `key`, until `expires` (unix seconds)."""

    key: str
    expires: int
    max_bytes: int
    content_type: str


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
        fields = {"expires": grant.expires, "max": grant.max_bytes, "type": grant.content_type}
        return self._signed("PUT", f"{BASE}/{quote(grant.key)}?{urlencode(fields)}")

    def download_path(self, grant: DownloadGrant) -> str:
        """Path and query of a signed GET (or HEAD)."""
        place = f"{grant.job_id}/{grant.name}"
        if not PLAIN(place):  # ids and names of ours are plain: this is minted often
            place = quote(place)
        return self._signed("GET", f"{BASE}/downloads/{place}?expires={grant.expires}")

    def check_upload(
        self, target: str, key: str, query: Mapping[str, str], now: float
    ) -> UploadGrant:
        """The grant of a PUT to `target`, its path and query as they came.

        Raises:
            BadSignature, UrlExpired.
        """
        try:
            grant = UploadGrant(key, int(query["expires"]), int(query["max"]), query["type"])
        except (KeyError, ValueError):
            raise BadSignature("This upload URL is not valid") from None
        _same(target, self.upload_path(grant))
        _in_time(grant.expires, now)
        return grant

    def check_download(
        self, target: str, job_id: str, name: str, query: Mapping[str, str], now: float
    ) -> None:
        """Lets a GET or HEAD of `target` pass. Raises as `check_upload`."""
        try:
            grant = DownloadGrant(job_id, name, int(query["expires"]))
        except (KeyError, ValueError):
            raise BadSignature("This download URL is not valid") from None
        _same(target, self.download_path(grant))
        _in_time(grant.expires, now)

    def _signed(self, method: str, unsigned: str) -> str:
        digest = hmac.digest(self._secret, f"{method} {unsigned}".encode(), "sha256")
        signature = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        return f"{unsigned}&signature={signature}"


def _same(given: str, minted: str) -> None:
    if not hmac.compare_digest(given.encode(), minted.encode()):
        raise BadSignature("The signature of this URL does not match")


def _in_time(expires: int, now: float) -> None:
    if now >= expires:
        raise UrlExpired("This URL has expired")
