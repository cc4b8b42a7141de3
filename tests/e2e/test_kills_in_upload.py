"""P4: a server that is killed while bytes come in leaves nothing of them, and takes them again."""

import os
import random
import signal
import socket
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e.conftest import write_song
from tests.e2e.mortal import Mortal, mortal
from tests.harness import wait_for

SECONDS = 12  # of song: two megabytes, of which one is written down at once
SHARES = (0.6, 0.8, 0.999)  # of the bytes that have been sent at the kill
HEAD = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'


def begin(server: Mortal, line: str, headers: str, body: bytes, share: float) -> socket.socket:
    """Sends the first part of a request, until some of it has been written down."""
    spool = server.server.data / "spool"

    def size() -> int:
        return sum(path.stat().st_size for path in spool.rglob("*") if path.is_file())

    before = size()
    client = socket.create_connection(("127.0.0.1", server.server.port))
    head = f"{line} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    sent = int(share * len(body))
    client.sendall(head.encode() + body[:sent])
    wait_for(lambda: size() > before + sent / 3)
    return client


def kill_in_uploads(server: Mortal, shares: Iterable[float], group: bool) -> None:
    data = write_song(server.song.with_name("longer.wav"), SECONDS).read_bytes()
    for share in shares:
        ticket = server.again(
            lambda: server.caller.http.post("/upload", json={"filename": "a.wav"})).json()
        url = urlsplit(ticket["uploadUrl"])
        put = begin(server, f"PUT {url.path}?{url.query}", "", data, share)
        post = begin(server, "POST /process", "Content-Type: multipart/form-data; boundary=x\r\n",
                     HEAD + data + b"\r\n--x--\r\n", share)  # fmt: skip
        if group:
            os.killpg(server.server.process.pid, signal.SIGKILL)
            server.server.process.wait()
        else:
            os.kill(server.server.api_pid(), signal.SIGKILL)
        put.close()
        post.close()
        server.again(lambda: server.server.get("/health"))
        wait_for(server.nothing_left)
        assert not list((server.server.data / "uploads").iterdir())
        assert server.rows("SELECT count(*) FROM uploads WHERE size IS NOT NULL") == [(0,)]
        assert server.rows("SELECT count(*) FROM jobs") == [(0,)]
    answer = server.again(lambda: httpx.put(ticket["uploadUrl"], content=data, timeout=60))
    assert answer.status_code == 200, "the URL is still good"
    server.split(ticket["uploadKey"], "once")
    server.end()
    assert server.wrong() == []


@pytest.mark.timeout(600)
def test_kills_in_mid_upload_leave_nothing(tmp_path: Path) -> None:
    with mortal(tmp_path, "") as server:
        kill_in_uploads(server, SHARES, group=False)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("group", [False, True])
def test_many_kills_in_mid_upload(tmp_path: Path, group: bool) -> None:
    chance = random.Random(3)
    with mortal(tmp_path, "") as server:
        kill_in_uploads(server, [chance.uniform(0.6, 1) for _ in range(25)], group)
