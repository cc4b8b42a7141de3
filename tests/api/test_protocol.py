"""What comes before a request is bounded: in size, in time, and in form."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from server.api import protocol
from server.api.protocol import BoundedProtocol
from server.config import Config

from .fakes import FakeJobs, app_of


@pytest.fixture
def bounded(
    config: Config, jobs: FakeJobs, monkeypatch: pytest.MonkeyPatch
) -> Iterator[int]:
    """A server with our protocol, whose patience is half a second."""
    monkeypatch.setattr(protocol, "HEADER_SECONDS", 0.5)
    app = with_slow(app_of(config, jobs))
    settings = uvicorn.Config(app, port=0, http=BoundedProtocol, ws="none", lifespan="off",
                              log_config=None)
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


def with_slow(app: ASGIApp) -> ASGIApp:
    """The app, and a path whose answer takes longer than headers may."""
    async def both(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/slow":
            await app(scope, receive, send)
            return
        headers = [(b"content-length", b"6")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"slo", "more_body": True})
        await asyncio.sleep(1.2)
        await send({"type": "http.response.body", "body": b"wly"})

    return both


def talk(port: int, *parts: bytes, pause: float = 0.0) -> bytes:
    """Sends the parts, and reads until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        try:
            for part in parts:
                client.sendall(part)
                time.sleep(pause)
        except OSError:
            pass
        answer = b""
        try:
            while data := client.recv(65536):
                answer += data
        except ConnectionError:
            pass
        return answer


def refusal(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"x-request-id: " in head
    assert b"x-api-version: 1.0.0" in head
    return int(head.split()[1]), json.loads(body)["detail"]


@pytest.mark.parametrize("rubbish", [b"hello\r\n\r\n", b"FOO / HTTP/1.1\r\n\r\n",
                                     b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"])
def test_what_is_no_http(bounded: int, rubbish: bytes) -> None:
    assert refusal(talk(bounded, rubbish)) == (400, "Invalid HTTP request received.")


def test_endless_headers(bounded: int) -> None:
    lines = [b"GET /health HTTP/1.1\r\n", *[b"X-A: " + b"b" * 8000 + b"\r\n"] * 100]
    answer = talk(bounded, *lines, pause=0.001)
    # A client that goes on sending may see a reset instead of the answer.
    assert not answer or refusal(answer)[0] == 431
    one = talk(bounded, b"GET /health HTTP/1.1\r\nX-A: " + b"b" * 70_000)
    assert refusal(one) == (431, "Request headers are too large")


def test_slow_headers(bounded: int) -> None:
    began = time.monotonic()
    assert refusal(talk(bounded, b"GET /health HT"))[0] == 408
    assert time.monotonic() - began < 8


def test_a_silent_connection_is_closed(bounded: int) -> None:
    assert talk(bounded) == b""


def test_honest_clients_do_not_notice(bounded: int) -> None:
    with socket.create_connection(("127.0.0.1", bounded), timeout=10) as client:
        for late in (0.1, 0.7, 0.7):  # kept alive, it may be silent for longer
            time.sleep(late)
            client.sendall(b"GET /health HTTP/1.1\r\n")
            time.sleep(0.1)
            client.sendall(b"Host: x\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 ")


def test_a_large_body_is_no_large_header(bounded: int) -> None:
    body = b"x" * 200_000
    answer = talk(bounded, b"POST /process HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                  b"Content-Length: 200000\r\n\r\n" + body)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"No filename provided" in answer


def test_a_websocket_is_an_ordinary_request(bounded: int) -> None:
    answer = talk(bounded, b"GET /nope HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
                  b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                  b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404")


@pytest.mark.parametrize("more", [b"\r\n", b"\r\n" * 20], ids=["one", "many"])
def test_bytes_that_begin_no_request_keep_nothing_open(bounded: int, more: bytes) -> None:
    answer = talk(bounded, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", more, pause=0.2)
    assert answer.startswith(b"HTTP/1.1 ")


def test_endless_trailers(bounded: int) -> None:
    head = (b"POST /process HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"1\r\nx\r\n0\r\n")
    lines = [b"X-A: " + b"b" * 8000 + b"\r\n"] * 100
    answer = talk(bounded, head, *lines, pause=0.001)
    assert not answer or b"HTTP/1.1 400" in answer or b"HTTP/1.1 431" in answer


def test_a_request_sent_ahead_waits_for_its_turn(bounded: int, jobs: FakeJobs) -> None:
    """It may wait for longer than headers may take: the answer before it must not be cut."""
    first = b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection(("127.0.0.1", bounded), timeout=10) as client:
        client.sendall(first + b"GET /health HT")
        time.sleep(0.8)
        client.sendall(b"TP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b""
        while data := client.recv(65536):
            answer += data
    assert answer.count(b"HTTP/1.1 ") == 2
    assert b"slowly" in answer
