"""No key, secret, signature or path of the data directory in an answer that refuses, or in the log.

Every route of the app is made to fail, in every way in which a defect or a disk can make it; then
a real server lives through what goes wrong in a life, and all that it said is read.
"""

import asyncio
import base64
import errno
import os
import shutil
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import PropertyMock, patch

import httpx
import msgspec
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from server.api import create_app
from server.api.signing import BASE, DownloadGrant, Signer
from server.app import Components
from server.config import load
from server.errors import StageFailed
from server.jobs import keys
from server.jobs.health import Health
from server.jobs.webhooks.signatures import new_secret
from server.logs import set_up_logs
from server.work.board import Board
from store import AccountRepository, Database
from store.accounts import NewKey
from tests.api.fakes import FakeFigures, FakeJobs, fake_services
from tests.e2e.calling import Caller, command, new_key
from tests.e2e.conftest import write_song
from tests.harness import Server, serving, wait_for
from tests.routes import apps_in, routes_of

KEY, UNKNOWN, SECRET = keys.new_key(), keys.new_key(), new_secret()
TOKEN = "canary-token-4711"
SIGNED = Signer(b"c" * 32).download_path(DownloadGrant("job", "vocals.mp3", 2**33))
SIGNATURE = SIGNED.rpartition("=")[2]


def faults(data: Path) -> list[Exception]:
    """Each holds all that must not get out."""
    text = f"{KEY} {SECRET} https://u:{TOKEN}@h.example/{TOKEN}?{TOKEN} {SIGNED} {data}/secret"
    place = str(data / "scratch" / "input")
    io_error = sqlite3.OperationalError(text)
    return [
        RuntimeError(text), KeyError(text), StageFailed(text), io_error, ValueError(text.encode()),
        OSError(errno.ENOSPC, text, place), OSError(errno.EIO, text, place),
        PermissionError(errno.EACCES, text, place), FileNotFoundError(errno.ENOENT, text, place),
        UnicodeDecodeError("utf-8", text.encode(), 0, 1, text), TimeoutError(text),
        ExceptionGroup(text, [RuntimeError(text)]),
    ]  # fmt: skip


def assert_clean(said: str, canaries: list[str]) -> None:
    for canary in canaries:
        at = said.find(canary)
        assert at < 0, f"{canary!r} in {said[max(0, at - 300) : at + 100]!r}"


@pytest.mark.parametrize("format", ["json", "console"])
def test_every_route_fails_in_silence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], format: str
) -> None:
    data = tmp_path / "data"
    config = load(environ={}, flags={
        "server.data_dir": str(data), "limits.requests_per_minute": 100_000,
        "pipeline.auth": "api_key", "log.format": format, "log.level": "debug",
    })  # fmt: skip
    set_up_logs(config.log, config.private_folders)
    wrong = faults(data)[:: 1 if format == "json" else 5]  # people's tracebacks take long to draw
    answers: list[str] = []

    async def main() -> None:
        async with Database(tmp_path / "t.db") as database:
            components = Components(config, database, Board({}))
            accounts = AccountRepository(database)
            await accounts.ensure("ann", 1.0)
            await accounts.create_key(NewKey("ann", keys.hash_of(KEY), keys.shown(KEY), 0, None, 1))
            app = components.http
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://t",
                                         headers={"Authorization": f"Bearer {KEY}"}) as http:
                for error in wrong:
                    answers.extend(await failing(app, http, error))

    data.mkdir()
    asyncio.run(main())
    assert len(answers) == len(wrong) * len(routes_of(any_app(tmp_path)))
    assert_clean("\n".join(answers), [KEY, SECRET, TOKEN, SIGNATURE, str(data), "Traceback"])
    log = capsys.readouterr().err
    assert log.count("Traceback") > len(answers) // 2 and "<data>/scratch/input" in log
    assert_clean(log, [KEY, SECRET, TOKEN, SIGNATURE, str(data)])


async def failing(app: ASGIApp, http: httpx.AsyncClient, error: Exception) -> list[str]:
    """What is answered when whatever serves a route fails."""
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    for _, inner in apps_in(app, "", set()):
        for route in inner.routes:
            route.app = broken
    answers = []
    # What is answered before a route is looked for asks this alone.
    with (patch.object(Health, "problems", side_effect=error),
          patch.object(Health, "alive", PropertyMock(side_effect=error))):  # fmt: skip
        for route in routes_of(app):
            path = route.at(**dict.fromkeys(route.parameters, "x"))
            answer = await http.request(route.method, path)
            assert answer.status_code >= 500, (route, answer.text)
            answers.append(f"{answer.text}\n{answer.headers}")
    return answers


def any_app(folder: Path) -> ASGIApp:
    """An app whose routes are read and not asked."""
    config = load(environ={}, flags={"pipeline.auth": "api_key"})
    return create_app(config, FakeJobs(folder), fake_services(), Signer(b"s" * 32), FakeFigures())


@contextmanager
def elsewhere() -> Iterator[str]:
    """A host that redirects whoever calls to a place with a token in its URL."""
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302 if "redirect" in self.path else 403)
            self.send_header("Location", f"http://127.0.0.1:1/{TOKEN}?token={TOKEN}")
            self.end_headers()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def log_message(self, *_: object) -> None: ...

    host = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=host.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{host.server_port}"
    finally:
        host.shutdown()
        host.server_close()


class Life:
    """A server's clients who do everything wrong; `refusals` is all that was refused."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.caller = Caller(server, new_key(server, "ann"))
        self.revoked = new_key(server, "gone")
        command(server, "keys", "revoke", keys.shown(self.revoked))
        self.refusals: list[str] = []
        self.signatures: list[str] = []

    @property
    def keys(self) -> list[str]:
        return [self.caller.key, self.revoked, UNKNOWN]

    def ask(self, method: str, path: str, **more: Any) -> None:
        answer = httpx.request(method, self.server.url + path, timeout=60, **more)
        if answer.status_code >= 400:
            self.refusals.append(answer.text)
        elif path.startswith("/demo"):  # a key was right by chance: nobody waits for that song
            httpx.delete(f"{self.server.url}/job/{answer.json()['job_id']}", **self.with_key)

    @property
    def with_key(self) -> dict[str, Any]:
        return {"headers": {"Authorization": f"Bearer {self.caller.key}"}}

    def keys_in_every_place(self, app: ASGIApp) -> None:
        """Where a key, a secret or a signed URL has no business to be: in paths and queries too."""
        for route in routes_of(app):
            for key in self.keys:
                at = route.at(**dict.fromkeys(route.parameters, key))
                self.ask(route.method, at, headers={"Authorization": f"Bearer {key}"})
                self.ask(route.method, f"{at}?api_key={key}&signature={SIGNATURE}",
                         headers={"X-API-Key": key, "X-Request-Id": key}, content=b"{}")
            at = route.at(**dict.fromkeys(route.parameters, SECRET.replace("/", "%2F")))
            self.ask(route.method, f"{at}%3Fsignature={SIGNATURE}%26x",
                     headers={"Authorization": f"Bearer {self.caller.key}"}, content=b"\xff{")
        self.ask("GET", f"/{self.caller.key}/{SIGNED.replace('?', '%3F').replace('=', '%3D')}")

    def bodies(self) -> None:
        """Bodies with secrets where something else is wanted."""
        headers = {"Authorization": f"Bearer {self.caller.key}"}
        for path in ("jobs", "upload", "webhooks"):
            for name in ("uploadKey", "sourceUrl", "callbackUrl", "filename", "url", "outputType",
                         "quality", "outputFormat", "events", "metadata"):  # fmt: skip
                for value in (f"http://u:{TOKEN}@h.example/", f"ftp://h.example/{TOKEN}"):
                    body = {"sourceUrl": "http://127.0.0.1:1/", "outputType": "BOTH", name: value}
                    self.ask("POST", f"{BASE}/{path}", json=body, headers=headers)
        form = {"file": ("s.wav", b"no song")}
        self.ask("POST", "/process", files=form, headers=headers,
                 data={"callback_url": f"http://u:{TOKEN}@h.example/"})

    def strangers(self, url: str, song: bytes) -> None:
        """Sources, webhooks and callbacks that lead to places with tokens."""
        for source in (f"{url}/x?token={TOKEN}", f"{url}/redirect/{TOKEN}",
                       f"http://127.0.0.1:1/{TOKEN}", f"http://10.0.0.1/{TOKEN}"):  # fmt: skip
            answer = self.caller.create(sourceUrl=source, outputType="VOCALS")
            self.refusals.append(answer.text)
        hook = self.caller.http.post("/webhooks", json={
            "url": f"{url}/redirect/{TOKEN}?{TOKEN}"}).json()
        self.signatures.append(hook["secret"])
        self.caller.http.post(f"/webhooks/{hook['id']}/test")
        for name in ("song.wav", "damaged.mp3"):
            data = song if name == "song.wav" else song[:40] + b"\xff" * 4000
            ticket = self.caller.http.post("/upload", json={"filename": name}).json()
            httpx.put(ticket["uploadUrl"], content=data)
            self.ask("PUT", ticket["uploadUrl"].removeprefix(self.server.url), content=b"other")
            self.signatures.append(ticket["uploadUrl"].rpartition("=")[2])
            answer = self.caller.create(uploadKey=ticket["uploadKey"], outputType="VOCALS",
                                        callbackUrl=f"{url}/{TOKEN}?{TOKEN}", quality="FAST")
            self.refusals.append(answer.text if answer.is_error else "")
            if not answer.is_error:
                found = self.caller.end_of(answer.json()["id"])
                url = found["outputs"]["vocals"]["url"].removeprefix(self.server.url)
                self.signatures.append(url.rpartition("=")[2])
                self.ask("GET", url.replace("expires=", "expires=1"))
        wait_for(lambda: "webhook not delivered" in self.server.log.read_text())

    def broken_disk(self, song: bytes) -> None:
        """What the API, and then a worker, wants to write to is no folder."""
        outputs, form = self.server.data / "outputs", {"file": ("s.wav", song)}
        outputs.rename(outputs.with_name("kept"))
        outputs.write_bytes(b"")
        self.ask("POST", "/process", files=form, **self.with_key)
        outputs.unlink()
        outputs.with_name("kept").rename(outputs)
        answer = httpx.post(f"{self.server.url}/process", files=form, timeout=60, **self.with_key)
        job = answer.json()["job_id"]
        shutil.rmtree(outputs / job)
        (outputs / job).write_bytes(b"")

        def ended() -> str | None:
            told = self.server.get(f"/job/{job}", **self.with_key)
            return told.text if told.json()["status"] == "failed" else None

        self.refusals.append(wait_for(ended))

    def deaths(self) -> None:
        """A worker's, and the API process's."""
        os.kill(self.server.pid_of("probe-0"), signal.SIGKILL)
        wait_for(lambda: "worker lost" in self.server.log.read_text())
        os.kill(self.server.api_pid(), signal.SIGKILL)
        wait_for(lambda: '"process":"api"' in self.server.log.read_text())
        wait_for(self.server.healthy)


def test_a_whole_life_tells_no_secret(tmp_path: Path) -> None:
    data = tmp_path / "data-canary-4712"
    song = write_song(tmp_path / "song.wav", 1.5).read_bytes()
    with elsewhere() as url, serving(
        data, limits__requests_per_minute=1_000_000, pipeline__auth="api_key", log__level="debug",
        fetch__allow_networks="127.0.0.0/8", jobs__max_attempts=1,
    ) as server:  # fmt: skip
        life = Life(server)
        life.keys_in_every_place(any_app(tmp_path))
        life.bodies()
        life.strangers(url, song)
        life.broken_disk(song)
        life.deaths()
        server.terminate()
        secret = (data / "secret").read_bytes()
        canaries = [*life.keys, SECRET, TOKEN, SIGNATURE, *life.signatures, secret.hex(),
                    base64.b64encode(secret).decode(), base64.urlsafe_b64encode(secret).decode()]
        lines = server.log.read_text().splitlines()
        log = "\n".join(line for line in lines if not line.startswith("  data "))  # the banner
        for wanted in ("request", "webhook not delivered", "job failed", "worker lost",
                       "process died", "<data>", "Traceback"):  # fmt: skip
            assert wanted in log, f"nothing was read of {wanted!r}"
        assert_clean(log, [*canaries, str(data)])
        assert len(life.refusals) > 300
        theirs = [text for text in canaries if text != TOKEN]  # an account is told of its own URLs
        assert_clean("\n".join(life.refusals), [*theirs, str(data), "Traceback"])
        stored = b"".join(path.read_bytes() for path in data.glob("stembox.db*"))
        for key in life.keys:
            assert key.encode() not in stored
        assert msgspec.json.decode(log[log.index('{"') :].splitlines()[0])
