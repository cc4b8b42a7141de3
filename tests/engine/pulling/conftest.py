"""Files at an address of this machine."""

import hashlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from tests.engine.conftest import answering


class Shelf:
    """What lies there, and how it is served.

    Attributes:
        cut: bytes after which an answer ends.
        ranges: whether parts are served.
        heeds: whether `If-Range` is heeded.
        totals: whether a range beyond the file is told the file's size.
        tags, statuses: by name, headers that tell files apart, and answers in place of them.
        asked: names and ranges that were asked for.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut: int | None = None
        self.ranges = self.heeds = self.totals = True
        self.tags: dict[str, dict[str, str]] = {}
        self.statuses: dict[str, int] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.url = ""

    def sum(self, name: str) -> str:
        return hashlib.sha256(self.files[name]).hexdigest()


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    there = Shelf()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name, wanted = self.path.rpartition("/")[2], self.headers.get("Range")
            there.asked.append((name, wanted))
            body, tags = there.files.get(name), there.tags.get(name, {})
            if name in there.statuses or body is None:
                self.send_error(there.statuses.get(name, 404))
                return
            known = self.headers.get("If-Range")
            same = known is None or not there.heeds or known in tags.values()
            start = int(wanted[6:-1]) if wanted and there.ranges and same else 0
            if start and start >= len(body):
                self.send_response(416)
                if there.totals:
                    self.send_header("Content-Range", f"bytes */{len(body)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            for header, value in tags.items():
                self.send_header(header, value)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            self.wfile.write(body[start:][: there.cut])

        def log_message(self, *_: object) -> None:
            pass

    with answering(Handler) as there.url:
        yield there
