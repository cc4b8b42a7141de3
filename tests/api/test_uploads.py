"""Uploads through a real server and real sockets: streamed, cut off, abandoned, too slow."""

import http.client
import json
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from starlette.types import ASGIApp

from server.api.files import uploads
from server.config import load

from .conftest import MAX_MB
from .fakes import FakeJobs, app_of, serving, wait_until

MB = 1 << 20
HEAD = b'--B\r\nContent-Disposition: form-data; name="file"; filename="song.wav"\r\n\r\n'
TAIL = b"\r\n--B--\r\n"
TOO_LARGE = (413, {"detail": f"File is larger than {MAX_MB} MB"})


@pytest.fixture
def raw(port: int) -> Iterator[socket.socket]:
    """A bare connection to the real server."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        yield connection


def begin(connection: socket.socket, *headers: str) -> None:
    """Sends the head of an upload whose boundary is B."""
    lines = [
        "POST /process HTTP/1.1",
        "Host: test",
        "Content-Type: multipart/form-data; boundary=B",
        *headers,
    ]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def answer_of(connection: socket.socket) -> tuple[int, Any, http.client.HTTPResponse]:
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer.status, json.loads(answer.read()), answer


def test_the_file_arrives_whole_and_the_connection_lives_on(
    client: httpx.Client, jobs: FakeJobs
) -> None:
    songs = [bytes(i % 251 for i in range(size)) for size in (1, 3 * MB + 17, MAX_MB * MB)]
    for song in songs:
        assert client.post("/process", files={"file": ("song.wav", song)}).status_code == 200
    assert [(upload.folder / "input").read_bytes() for upload in jobs.uploads] == songs
    assert [upload.size_bytes for upload in jobs.uploads] == [len(song) for song in songs]
    assert jobs.discarded == []


def test_uploads_side_by_side_do_not_mix(client: httpx.Client, jobs: FakeJobs) -> None:
    def post(number: int) -> None:
        song = bytes([number]) * (MB + number)
        client.post("/process", files={"file": (f"{number}.wav", song)}).raise_for_status()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(post, range(16)))
    for upload in jobs.uploads:
        number = int(upload.file_name.removesuffix(".wav"))
        assert (upload.folder / "input").read_bytes() == bytes([number]) * (MB + number)
    assert len(jobs.uploads) == 16


def test_a_large_upload_is_never_held_in_memory(jobs: FakeJobs) -> None:
    app = app_of(load(environ={}), jobs)
    block = bytes(MB)
    with serving(app) as port, socket.create_connection(("127.0.0.1", port)) as connection:
        tracemalloc.start()
        try:
            begin(connection, f"Content-Length: {len(HEAD) + 64 * MB + len(TAIL)}")
            connection.sendall(HEAD)
            for _ in range(64):
                connection.sendall(block)
            connection.sendall(TAIL)
            status, _, _ = answer_of(connection)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert status == 200
    assert jobs.uploads[0].size_bytes == 64 * MB
    assert peak < 8 * MB


@pytest.mark.parametrize("parser", ["httptools", "h11"])
def test_a_large_file_is_cut_off_and_the_client_is_told(
    app: ASGIApp, jobs: FakeJobs, parser: str
) -> None:
    """This client reads nothing before it has sent all, as many do."""
    with serving(app, parser) as port, socket.create_connection(("127.0.0.1", port)) as raw:
        begin(raw, "Transfer-Encoding: chunked")
        raw.sendall(chunk(HEAD))
        for _ in range(32):
            raw.sendall(chunk(bytes(MB)))
        raw.sendall(chunk(TAIL) + b"0\r\n\r\n")
        status, body, answer = answer_of(raw)
        assert (status, body) == TOO_LARGE
        assert answer.headers["connection"] == "close"
        assert answer.headers["x-request-id"]
        assert raw.recv(1) == b""
    assert (jobs.uploads, jobs.spooled()) == ([], [])


def test_the_answer_comes_before_the_body_ends(raw: socket.socket, jobs: FakeJobs) -> None:
    begin(raw, "Transfer-Encoding: chunked")
    raw.sendall(chunk(HEAD) + chunk(bytes(MAX_MB * MB)) + chunk(b"1"))
    status, body, _ = answer_of(raw)
    assert (status, body) == TOO_LARGE
    assert jobs.spooled() == []


def test_a_declared_length_is_refused_without_a_byte_of_body(
    raw: socket.socket, jobs: FakeJobs
) -> None:
    begin(raw, f"Content-Length: {100 * MB}", "Expect: 100-continue")
    status, body, answer = answer_of(raw)  # and no "100 Continue" before it
    assert (status, body) == TOO_LARGE
    assert answer.headers["connection"] == "close"
    assert jobs.discarded == []  # nothing was reserved


def test_linger_ends(raw: socket.socket, monkeypatch: pytest.MonkeyPatch, jobs: FakeJobs) -> None:
    monkeypatch.setattr(uploads, "LINGER_S", 0.1)
    begin(raw, f"Content-Length: {100 * MB}")
    assert answer_of(raw)[0] == 413
    assert raw.recv(1) == b""  # closed, though the client neither sends nor goes


def test_expect_100_continue(raw: socket.socket, jobs: FakeJobs) -> None:
    begin(raw, f"Content-Length: {len(HEAD + b'data' + TAIL)}", "Expect: 100-continue")
    assert raw.recv(100).startswith(b"HTTP/1.1 100 ")
    raw.sendall(HEAD + b"data" + TAIL)
    assert answer_of(raw)[0] == 200


def test_a_client_that_hangs_up_leaves_nothing(port: int, jobs: FakeJobs) -> None:
    with structlog.testing.capture_logs() as lines:
        with socket.create_connection(("127.0.0.1", port)) as raw:
            begin(raw, f"Content-Length: {3 * MB}")
            raw.sendall(HEAD + bytes(2 * MB))
            wait_until(lambda: any(path.stat().st_size >= MB for path in jobs.spooled()))
        wait_until(lambda: lines)
    assert (jobs.uploads, jobs.spooled(), len(jobs.discarded)) == ([], [], 1)
    (line,) = lines
    assert (line["path"], line["status"]) == ("/process", 499)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (HEAD + b"data", "The multipart/form-data body is incomplete"),
        (b"garbage", "The body is not valid multipart/form-data"),
        (b"--B--\r\n", "No filename provided"),
        (HEAD + TAIL, "The file is empty"),
        (
            b'--B\r\nContent-Disposition: form-data; name="callback_url"\r\n\r\nhttp://private\r\n'
            + HEAD
            + b"data"
            + TAIL,
            "callback_url: This address may not be called",
        ),
    ],
)
def test_bad_forms_leave_nothing(
    raw: socket.socket, jobs: FakeJobs, body: bytes, detail: str
) -> None:
    begin(raw, f"Content-Length: {len(body)}")
    raw.sendall(body)
    status, answer, _ = answer_of(raw)
    assert (status, answer) == (400, {"detail": detail})
    assert (jobs.uploads, jobs.spooled()) == ([], [])


def test_a_length_may_have_zeros_before_it(raw: socket.socket, jobs: FakeJobs) -> None:
    body = HEAD + b"data" + TAIL
    begin(raw, f"Content-Length: {len(body):05000}")
    raw.sendall(body)
    assert answer_of(raw)[0] == 200
    assert len(jobs.uploads) == 1


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"data": {"name": "x"}},
        {"files": {"other": ("song.wav", b"data")}},
        {"files": {"file": ("", b"data")}},
        {"files": {"file": (None, b"data")}},
    ],
)
def test_no_file(client: httpx.Client, kwargs: dict[str, Any]) -> None:
    answer = client.post("/process", **kwargs)
    assert (answer.status_code, answer.json()) == (400, {"detail": "No filename provided"})


@pytest.mark.parametrize(
    "content_type",
    ["audio/wav", "application/json", "multipart/form-data", "multipart/mixed; boundary=B", "\xff"],
)
def test_wrong_content_types(client: httpx.Client, jobs: FakeJobs, content_type: str) -> None:
    headers = [(b"Content-Type", content_type.encode("latin-1"))]
    answer = client.post("/process", content=b"x" * 1000, headers=headers)
    assert answer.status_code == 400
    assert jobs.spooled() == []


def test_headers_cannot_be_injected_through_a_part(raw: socket.socket, jobs: FakeJobs) -> None:
    body = HEAD.replace(b"song.wav", b"a\r\nX-Evil: 1\r\nb.wav") + b"data" + TAIL
    begin(raw, f"Content-Length: {len(body)}", "X-Request-Id: a%0d%0aX-Evil:1")
    raw.sendall(body)
    status, _, answer = answer_of(raw)
    assert status == 400
    assert "x-evil" not in {name.lower() for name in answer.headers}
    assert jobs.uploads == []


def test_a_full_disk_is_507(client: httpx.Client, jobs: FakeJobs) -> None:
    """The device answers every write as a full disk does."""
    reserve = jobs.reserve

    async def reserve_on_a_full_disk(size: int, caller: str) -> tuple[str, Path]:
        job_id, folder = await reserve(size, caller)
        (folder / "input").symlink_to("/dev/full")
        return job_id, folder

    jobs.reserve = reserve_on_a_full_disk  # type: ignore[method-assign]
    answer = client.post("/process", files={"file": ("song.wav", bytes(3 * MB))})
    assert answer.status_code == 507
    assert answer.json() == {"detail": "The server's disk is full; try again later"}
    assert jobs.spooled() == []


@pytest.mark.parametrize("byte_s", [None, 0.01])
def test_a_client_that_stalls_or_drips_is_cut_off(
    raw: socket.socket,
    jobs: FakeJobs,
    monkeypatch: pytest.MonkeyPatch,
    byte_s: float | None,
) -> None:
    monkeypatch.setattr(uploads, "PATIENCE_S", 0.3)
    monkeypatch.setattr(uploads, "LINGER_S", 0.0)
    begin(raw, f"Content-Length: {MB}")
    raw.sendall(HEAD)
    gone = threading.Event()

    def drip(seconds: float) -> None:
        while not gone.is_set():
            try:
                raw.send(b"x")
            except OSError:
                return
            time.sleep(seconds)

    if byte_s:
        threading.Thread(target=drip, args=(byte_s,)).start()
    try:
        status, body, _ = answer_of(raw)
    finally:
        gone.set()
    assert (status, body) == (408, {"detail": "The upload stalled"})
    assert (jobs.uploads, jobs.spooled()) == ([], [])
