"""Who takes an answer slowly, or not at all."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from server.api.edge import protocol

from .fakes import FakeJobs, wait_until

ESTABLISHED = 1


@contextmanager
def unread(port: int, *requests: bytes) -> Iterator[socket.socket]:
    """A client that asks for much and reads nothing, with little room for what it does not read."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(20)
    with client:
        client.connect(("127.0.0.1", port))
        for request in requests:
            client.sendall(request)
        yield client


def state_of(client: socket.socket) -> int:
    """Linux's state of a connection (the first byte of tcp_info)."""
    return client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


@pytest.mark.parametrize("close", [b"", b"Connection: close\r\n"])
def test_who_reads_nothing_is_cut_off(
    bounded: int, jobs: FakeJobs, monkeypatch: pytest.MonkeyPatch, close: bytes
) -> None:
    monkeypatch.setattr(protocol, "WRITE_SECONDS", 0.4)
    job = jobs.finished(size=30_000_000)
    ask = f"GET /download/{job.id}/vocals HTTP/1.1\r\nHost: x\r\n".encode() + close + b"\r\n"
    with unread(bounded, ask) as client:
        wait_until(lambda: state_of(client) != ESTABLISHED)
        got = 0
        with suppress(ConnectionError):
            while data := client.recv(65536):
                got += len(data)
        assert got < 30_000_000


def test_who_reads_a_byte_at_a_time_is_cut_off(
    bounded: int, jobs: FakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on, for ever: too slowly on average."""
    monkeypatch.setattr(protocol, "WRITE_SECONDS", 0.8)
    monkeypatch.setattr(protocol, "LEAST_READ", 1 << 20)
    job = jobs.finished(size=30_000_000)
    ask = f"GET /download/{job.id}/vocals HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with unread(bounded, ask) as client:
        def read_some() -> bool:
            with suppress(ConnectionError):
                client.recv(1000)
            return state_of(client) != ESTABLISHED

        wait_until(read_some)


def kept(client_port: int) -> bool:
    """Whether the kernel keeps something for this client, of whatever process."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(int(row[2].partition(":")[2], 16) == client_port and row[3] in ("01", "04")
               for row in rows)  # fmt: skip


@pytest.mark.parametrize("close", [b"", b"Connection: close\r\n"])
def test_what_the_kernel_has_taken_over_is_not_kept_for_ever(
    bounded: int, jobs: FakeJobs, monkeypatch: pytest.MonkeyPatch, close: bytes
) -> None:
    """An answer that fits into the kernel's buffers is sent, as far as this process can tell."""
    monkeypatch.setattr(protocol, "WRITE_SECONDS", 1.0)
    job = jobs.finished(size=300_000)
    ask = f"GET /download/{job.id}/vocals HTTP/1.1\r\nHost: x\r\n".encode() + close + b"\r\n"
    with unread(bounded, ask) as client:
        port = client.getsockname()[1]
        wait_until(lambda: kept(port))
        wait_until(lambda: not kept(port))


def test_who_reads_slowly_gets_all_of_it(
    bounded: int, jobs: FakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A little in every eighth of the time is enough, for as long as it takes."""
    monkeypatch.setattr(protocol, "WRITE_SECONDS", 8.0)
    job = jobs.finished(size=8_000_000)
    ask = f"GET /download/{job.id}/vocals HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with unread(bounded, ask.encode()) as client:
        got = b""
        for _ in range(20):
            time.sleep(0.05)
            got += client.recv(65536)
        while data := client.recv(1 << 20):
            got += data
    body = got.partition(b"\r\n\r\n")[2]
    assert body == job.tracks["vocals"].path.read_bytes()
