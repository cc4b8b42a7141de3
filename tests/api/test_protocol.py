"""What comes before a request is bounded: in size, in time, and in form."""

import json
import re
import socket
import time
from contextlib import ExitStack
from ipaddress import ip_network

import pytest

from server.api.edge.protocol import BoundedProtocol, bounded_protocol
from server.config import Config

from .conftest import with_slow
from .fakes import FakeJobs, app_of, serving, wait_until


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


@pytest.mark.parametrize("path", [b"/config", b"/slow"])
@pytest.mark.parametrize("broken", [b"FOO / HTTP/1.1\r\n\r\n",
                                    b"GET /\xff HTTP/1.1\r\nno header\r\n\r\n"])
def test_what_comes_before_no_http_is_answered_first(
    bounded: int, path: bytes, broken: bytes
) -> None:
    """In one piece with it; what comes behind is not read any more."""
    good = b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path
    told = talk(bounded, good + broken + good, broken)
    answer, between, refused = told.partition(b"HTTP/1.1 400")
    assert answer.startswith(b"HTTP/1.1 200") and answer.endswith((b"}", b"slowly"))
    assert refusal(between + refused) == (400, "Invalid HTTP request received.")


def test_of_several_that_wait_for_an_answer_none_is_refused_out_of_turn(bounded: int) -> None:
    slow = b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"
    assert b"HTTP/1.1 400" not in talk(bounded, slow + slow + b"FOO / HTTP/1.1\r\n\r\n")


def test_endless_headers(bounded: int) -> None:
    lines = [b"GET /health HTTP/1.1\r\n", *[b"X-A: " + b"b" * 8000 + b"\r\n"] * 100]
    answer = talk(bounded, *lines, pause=0.001)
    # A client that goes on sending may see a reset instead of the answer.
    assert not answer or refusal(answer)[0] == 431
    one = talk(bounded, b"GET /health HTTP/1.1\r\nX-A: " + b"b" * 70_000)
    assert refusal(one) == (431, "Request headers are too large")


@pytest.mark.parametrize("size", [66_000, 70_000, 200_000])
@pytest.mark.parametrize("whole", [True, False])
def test_headers_that_are_too_large_and_complete(bounded: int, size: int, whole: bool) -> None:
    """In one write, or in pieces: the request does not run, and the client is told."""
    asked = (b"POST /process HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nX-A: " + b"b" * size
             + b"\r\n\r\nabc")  # fmt: skip
    pieces = [asked] if whole else [asked[at : at + 8000] for at in range(0, len(asked), 8000)]
    answer = talk(bounded, *pieces, pause=0.001)
    if answer or whole:  # in pieces, a reset may come first
        assert refusal(answer) == (431, "Request headers are too large")


def test_headers_that_just_fit(bounded: int) -> None:
    asked = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-A: " + b"b" * 65_000
    assert b"X-A" not in talk(bounded, asked + b"\r\n\r\n").partition(b"\r\n")[0]
    assert not talk(bounded, asked + b"\r\n\r\n").startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize("blanks", [b"", b" ", b"\t  \t"])
def test_blanks_around_a_value_are_no_part_of_it(bounded: int, blanks: bytes) -> None:
    asked = (b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-Id:" + blanks
             + b"my-id" + blanks + b"\r\n\r\n")  # fmt: skip
    head = talk(bounded, asked).partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
    assert b"x-request-id: my-id" in head


@pytest.mark.parametrize("path", [b"/api/v1/jobs", b"/api/v1?x=1", b"/api/v1"])
def test_the_other_api_is_refused_in_its_own_form(bounded: int, path: bytes) -> None:
    answer = talk(bounded, b"POST " + path + b" HTTP/1.1\r\nContent-Length: abc\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert json.loads(body) == {"error": {"code": "INVALID_REQUEST",
                                          "message": "Invalid HTTP request received."}}


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


OFFER = (  # as Java and curl --http2 make it
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
)
LAST = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("step", [7, 1000, 1 << 20])
def test_a_body_with_an_offer_of_another_protocol_arrives(
    bounded: int, jobs: FakeJobs, step: int, chunked: bool
) -> None:
    body = (b'--B\r\nContent-Disposition: form-data; name="file"; filename="song.wav"\r\n\r\n'
            + b"GET /config HTTP/1.1\r\n\r\n" * 200 + b"\r\n--B--\r\n")  # fmt: skip
    length = b"Content-Length: %d\r\n" % len(body)
    if chunked:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        length = b"Transfer-Encoding: chunked\r\n"
    form = b"Content-Type: multipart/form-data; boundary=B\r\n"
    sent = b"POST /process HTTP/1.1\r\nHost: x\r\n" + OFFER + form + length + b"\r\n" + body + LAST
    answer = talk(bounded, *(sent[at : at + step] for at in range(0, len(sent), step)))
    assert answer.count(b"HTTP/1.1 200") == answer.count(b"HTTP/1.1 ") == 2
    assert jobs.uploads[0].size_bytes == 200 * len(b"GET /config HTTP/1.1\r\n\r\n")


def test_requests_behind_offers_of_another_protocol_are_answered(bounded: int) -> None:
    """A thousand of them in one write."""
    asked = [b"GET /health HTTP/1.1\r\nHost: x\r\n" + OFFER + b"\r\n",
             b"CONNECT /health HTTP/1.1\r\nHost: x\r\n\r\n"]  # fmt: skip
    answer = talk(bounded, b"".join(asked) * 500 + LAST)
    assert answer.count(b"HTTP/1.1 200") == 501 and answer.count(b"HTTP/1.1 405") == 500


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


CHUNKED = b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
FORM = b"Content-Type: multipart/form-data; boundary=B\r\n\r\n"
PIECE = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nabc'
BEGUN = b"%x\r\n%b\r\n" % (len(PIECE), PIECE)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("begun", [b"", BEGUN])
@pytest.mark.parametrize(("rest", "status"), [
    (b"zz\r\nabc\r\n", 400), (b"1\r\nxyz", 400),
    (b"0\r\n" + b"".join(b"X-%d: " % n + b"b" * 8192 + b"\r\n" for n in range(8)), 431),
])  # fmt: skip
def test_a_body_that_is_no_http_is_answered(
    bounded: int, jobs: FakeJobs, apart: bool, begun: bytes, rest: bytes, status: int
) -> None:
    """Once, in the API's own form; nobody waits for the rest of it."""
    head = b"POST /process" + CHUNKED + FORM + begun
    parts = (head, rest) if apart else (head + rest,)
    answer = talk(bounded, *parts, pause=0.1)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert refusal(answer)[0] == status
    wait_until(lambda: not jobs.spooled())


def test_a_body_that_is_no_http_after_an_answer_has_begun(bounded: int) -> None:
    """In its middle nothing is said any more."""
    answer = talk(bounded, b"POST /slow" + CHUNKED + b"\r\n", b"zz\r\n", pause=0.3)
    assert answer.count(b"HTTP/1.1 ") == 1 and b"400" not in answer


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


@pytest.mark.parametrize("ahead", [b"/slow", b"/config"])
def test_of_requests_that_are_sent_ahead_few_are_parsed(
    config: Config, jobs: FakeJobs, ahead: bytes
) -> None:
    """All are answered, in their order; others do not wait for them, and memory has a few."""
    waiting, held = [0], [0]

    class Watched(BoundedProtocol):
        def on_headers_complete(self) -> None:
            super().on_headers_complete()
            waiting.append(len(self.pipeline))
            held.append(len(self._rest))

    line = b"%b HTTP/1.1\r\nHost: x\r\nX-Request-Id: n%d\r\n"
    body = PIECE + bytes(5000) + b"\r\n--B--\r\n"
    form = b"Content-Length: %d\r\n" % len(body) + FORM + body
    asked = [line % (b"GET /nowhere", n) + b"\r\n" if n % 20 else
             line % (b"POST /process", n) + form for n in range(600)]  # fmt: skip
    sent = b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % ahead + b"".join(asked) + LAST
    with serving(with_slow(app_of(config, jobs)), http=Watched) as port:
        answer = talk(port, sent)
    told = re.findall(rb"x-request-id: n(\d+)", answer)
    assert [int(number) for number in told] == list(range(600))
    assert answer.count(b"HTTP/1.1 ") == 602
    assert max(waiting) < 8 + 4096 // len(asked[1])
    assert max(held) > 0
    assert [upload.size_bytes for upload in jobs.uploads] == [5003] * 30


def test_a_body_in_many_chunks_is_no_large_header(bounded: int) -> None:
    """Twenty thousand chunks: their lines are more than headers may have."""
    head = b"POST /process HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    form = b"Connection: close\r\nContent-Type: multipart/form-data; boundary=B\r\n\r\n"
    start = b'--B\r\nContent-Disposition: form-data; name="file"; filename="song.wav"\r\n\r\n'
    pieces = [start, *[bytes(100)] * 20_000, b"\r\n--B--\r\n"]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    assert talk(bounded, head + form, chunks + b"0\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_a_body_in_crumbs_is_refused(bounded: int) -> None:
    head = b"POST /process HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    form = b"Content-Type: multipart/form-data; boundary=B\r\n\r\n"
    answer = talk(bounded, head + form, *[b"1\r\nx\r\n" * 1000] * 100, pause=0.001)
    assert not answer or b"HTTP/1.1 4" in answer


def test_a_trusted_proxy_may_have_all_connections(config: Config, jobs: FakeJobs) -> None:
    limited = bounded_protocol(4, (ip_network("127.0.0.1/32"),))
    with serving(app_of(config, jobs), http=limited) as port, ExitStack() as stack:
        for _ in range(4):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
        assert refusal(talk(port))[0] == 503
    wait_until(lambda: limited.places is not None and limited.places._taken.total() == 0)


def test_connections_are_shared_between_callers(config: Config, jobs: FakeJobs) -> None:
    limited = bounded_protocol(8)
    with serving(app_of(config, jobs), http=limited) as port:
        clients = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(4)]
        try:
            wait_until(lambda: limited.places is not None and limited.places._taken.total() == 4)
            status, sentence = refusal(talk(port))
            assert (status, sentence) == (503, "Too many connections are open; try again later")
            assert b"retry-after: " in talk(port)
            clients[0].sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert clients[0].recv(4096).startswith(b"HTTP/1.1 200"), "who is in is served"
            other = socket.create_connection(("127.0.0.1", port), timeout=10,
                                             source_address=("127.0.0.2", 0))
            clients.append(other)
            other.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert other.recv(4096).startswith(b"HTTP/1.1 200"), "another one finds a place"
            clients.pop(1).close()
            wait_until(lambda: limited.places is not None and limited.places._taken.total() == 4)
        finally:
            for client in clients:
                client.close()
        wait_until(lambda: limited.places is not None and limited.places._taken.total() == 0)
