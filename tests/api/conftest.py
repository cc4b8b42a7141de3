import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import structlog
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from server.api.edge import protocol
from server.api.edge.protocol import BoundedProtocol
from server.config import Config, load

from .fakes import FakeJobs, app_of, serving

MAX_MB = 4


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keeps the servers' log lines out of the tests' output."""
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def config() -> Config:
    """The shipped settings, with a small limit for uploads."""
    return load(environ={}, flags={"limits.max_file_size_mb": MAX_MB})


@pytest.fixture
def jobs(tmp_path: Path) -> FakeJobs:
    return FakeJobs(tmp_path)


@pytest.fixture
def app(config: Config, jobs: FakeJobs) -> ASGIApp:
    return app_of(config, jobs)


class Relay:
    """Stands before the app of the test that runs: one server is enough for all of them."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


@pytest.fixture(scope="session")
def server() -> Iterator[tuple[Relay, int]]:
    relay = Relay()
    with serving(relay) as port:
        yield relay, port


@pytest.fixture
def port(server: tuple[Relay, int], app: ASGIApp) -> int:
    """The port of a real server that serves `app`."""
    relay, port = server
    relay.app = app
    return port


@pytest.fixture
def client(port: int) -> Iterator[httpx.Client]:
    """A client of the real server."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        yield client


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
