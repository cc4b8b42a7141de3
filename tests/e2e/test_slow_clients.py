"""A4: clients that send headers or bodies, or read their answers, a byte at a time are cut off, by
the system's own word on the server's sockets; honest ones beside them do not notice.

The short run has a server with a tenth of the patience; `make chaos` waits for the real one.
"""

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e.calling import Caller, new_key
from tests.e2e.conftest import write_song
from tests.harness import Server, wait_for

HASTY = (sys.executable, "-m", "tests.e2e.hasty")
OPEN, ASKED_TO_CLOSE = "01", "04"  # in /proc/net/tcp: established; closed, with something unread
FORM = b"Content-Type: multipart/form-data; boundary=x\r\n"
FILE = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF'


class Way(NamedTuple):
    """What is sent at once, and what a byte at a time, for ever."""

    at_once: bytes
    dripped: bytes = b""


class Slow:
    """A client that sends a byte, or reads one, ten times a second, until it is cut off."""

    def __init__(self, server: Server, way: Way) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.connect(("127.0.0.1", server.port))
        self.port = self._socket.getsockname()[1]
        self._way = way
        self.got = b""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def _live(self) -> None:
        with suppress(OSError):
            self._socket.sendall(self._way.at_once)
            while not self._over.wait(0.1):
                if self._way.dripped:
                    self._socket.sendall(self._way.dripped)
                else:
                    self.got += self._socket.recv(1)
        self._over.wait()  # whoever was cut off keeps its own end open

    def end(self) -> None:
        self._over.set()
        self._thread.join()
        self._socket.close()


def held(server: Server) -> set[int]:
    """The ports of clients for whom the system still holds a socket of the server's."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    own = [row for row in rows if int(row[1].partition(":")[2], 16) == server.port]
    return {int(row[2].partition(":")[2], 16) for row in own if row[3] in (OPEN, ASKED_TO_CLOSE)}


@contextmanager
def slow_clients(server: Server, ways: dict[str, Way]) -> Iterator[dict[str, Slow]]:
    clients: dict[str, Slow] = {}
    try:
        for name, way in ways.items():
            clients[name] = Slow(server, way)
        yield clients
    finally:
        for client in clients.values():
            client.end()


def ways_to_be_slow(server: Server, caller: Caller, done: str, running: str) -> dict[str, Way]:
    """By all that a client can send, and all that it can ask for at length."""
    ticket = caller.http.post("/upload", json={"filename": "a.wav"}).json()
    put = urlsplit(ticket["uploadUrl"])

    def ask(line: str, headers: bytes = b"", begin: bytes = b"") -> bytes:
        return f"{line} HTTP/1.1\r\nHost: x\r\n".encode() + headers + b"\r\n" + begin

    def read(path: str) -> Way:
        return Way(ask(f"GET {path}", b"Connection: close\r\n"))

    sized = b"Content-Length: 1000000\r\n"
    chunked = b"Transfer-Encoding: chunked\r\n"
    key = f"Authorization: Bearer {caller.key}\r\n".encode()
    return {
        "request line": Way(b"GET /", b"a"),
        "header": Way(b"GET /health HTTP/1.1\r\nX-A: ", b"b"),
        "headers": Way(b"POST /process HTTP/1.1\r\n", b"a:\r\n"),
        "second request": Way(ask("GET /health") + b"GET /h", b"a"),
        "form": Way(ask("POST /process", FORM + sized, FILE), b"x"),
        "chunks": Way(ask("POST /process", FORM + chunked, b"%x\r\n%s\r\n" % (len(FILE), FILE)),
                      b"1\r\nx\r\n"),
        "PUT": Way(ask(f"PUT {put.path}?{put.query}", sized, b"RIFF"), b"x"),
        "JSON": Way(ask("POST /api/v1/jobs", key + b"Content-Length: 2000\r\n", b"{"), b" "),
        "download": read(f"/download/{done}/main"),
        "archive": read(f"/download/{done}/all"),
        "window": read(f"/job/{done}/window?start=0&end=6&tracks=vocals,drums,bass,other"),
        "mix": read(f"/job/{done}/mix?mute=drums"),
        "events": read(f"/job/{running}/events"),
        "many answers": Way(ask("GET /openapi.json") * 60),
    }  # fmt: skip


def read_slowly(server: Server, path: str, seconds: float) -> bytes:
    """An honest client of little means: its answer in that time, a piece now and then."""
    pieces = 20
    with httpx.stream("GET", server.url + path, timeout=120) as answer:
        size = int(answer.headers["content-length"])
        got = []
        for piece in answer.iter_bytes(size // pieces + 1):
            got.append(piece)
            time.sleep(seconds / pieces)
    return b"".join(got)


def send_slowly(server: Server, song: bytes, seconds: float) -> str:
    """The same, sending: a job's id."""
    pieces = 20
    head = FILE.removesuffix(b"RIFF")

    def body() -> Iterator[bytes]:
        yield head
        step = len(song) // pieces + 1
        for start in range(0, len(song), step):
            time.sleep(seconds / pieces)
            yield song[start : start + step]
        yield b"\r\n--x--\r\n"

    answer = httpx.post(f"{server.url}/process", content=body(), timeout=120,
                        headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert answer.status_code == 200, answer.text
    job: str = answer.json()["job_id"]
    return job


def all_events(server: Server, job: str) -> str:
    with httpx.stream("GET", f"{server.url}/job/{job}/events", timeout=240) as answer:
        return "".join(answer.iter_text())


def slow_and_honest(folder: Path, stembox: tuple[object, ...] | None, patience: float) -> None:
    """patience: the longest of the server's, in seconds; all of them are a matter of it."""
    song = write_song(folder / "song.wav", 6).read_bytes()
    more = {} if stembox is None else {"stembox": stembox}
    server = Server(folder / "data", environ={"PYTHONPATH": os.getcwd()}, **more)
    server.start()
    try:
        caller = Caller(server, new_key(server, "ann"))
        done = server.end_of(server.post(song).json()["job_id"])
        path = f"/download/{done['job_id']}/main"
        whole = server.get(path).content
        running = server.post(write_song(folder / "long.wav", 20)).json()["job_id"]
        ways = ways_to_be_slow(server, caller, done["job_id"], running)
        with slow_clients(server, ways) as clients:
            wait_for(lambda: len(held(server) & {one.port for one in clients.values()}) > 10)
            gone: dict[str, float] = {}

            def all_gone() -> bool:
                ports = held(server)
                for name, client in clients.items():
                    if client.port not in ports:
                        gone.setdefault(name, round(time.monotonic() - began, 1))
                return len(gone) == len(clients)

            began = time.monotonic()
            with ThreadPoolExecutor() as honest:
                read = honest.submit(read_slowly, server, path, patience / 4)
                sent = honest.submit(send_slowly, server, song, patience / 4)
                events = honest.submit(all_events, server, running)
                wait_for(all_gone, 10 * patience + 120)
                print("cut off after so many seconds:", gone)
                assert read.result() == whole
                assert server.end_of(sent.result())["status"] == "completed"
                assert server.end_of(running)["status"] == "completed"
                assert "id: end" in events.result()
            for name, client in clients.items():
                assert ways[name].dripped or client.got.startswith(b"HTTP/1.1 200"), name
        assert server.get("/health").json()["status"] == "healthy"
        assert not list((server.data / "spool").iterdir())
    finally:
        server.kill()


@pytest.mark.timeout(600)
def test_slow_clients_are_cut_off_and_honest_ones_do_not_notice(tmp_path: Path) -> None:
    slow_and_honest(tmp_path, HASTY, 12)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_slow_clients_with_all_the_patience_there_is(tmp_path: Path) -> None:
    slow_and_honest(tmp_path, None, 120)
