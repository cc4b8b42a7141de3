"""Whoever is refused before their body is read gets the answer, and the connection ends with it."""

import http.client
import socket

import pytest

from server.api.files import uploads
from server.config import load

from .fakes import FakeJobs, app_of, serving

MB = 1 << 20


@pytest.mark.parametrize(("path", "status"), [
    ("/nowhere", 404), ("/health", 405), ("/api/v1/nowhere", 401), ("/api/v1/jobs", 401),
    ("/process", 429),
])  # fmt: skip
def test_who_sends_all_before_they_read_is_told(
    path: str, status: int, jobs: FakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "LINGER_S", 10.0)
    config = load(environ={}, flags={"pipeline.requests_per_minute": 1})
    with serving(app_of(config, jobs)) as port:
        if status == 429:
            first = http.client.HTTPConnection("127.0.0.1", port)
            first.request("GET", "/config")
            assert first.getresponse().status == 200
        with socket.create_connection(("127.0.0.1", port), timeout=20) as raw:
            raw.sendall(f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
                        f"Content-Length: {32 * MB}\r\n\r\n".encode())  # fmt: skip
            for _ in range(32):
                raw.sendall(bytes(MB))
            answer = http.client.HTTPResponse(raw)
            answer.begin()
            assert (answer.status, answer.headers["connection"]) == (status, "close")
            assert answer.read()
            assert raw.recv(1) == b"", "and no more is expected of them"
