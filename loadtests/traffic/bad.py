"""Clients as nobody wants them. What they get is checked, too: a clear refusal, or a cut."""

import secrets
import socket
import time
from urllib.parse import urlsplit

import gevent
from locust import task

from loadtests.traffic.partners import API, PartnerCalls
from loadtests.traffic.users import as_json

STORM = 8  # requests at once
DRIP_S = 15.0
HEAD = (
    "POST /process HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5000000\r\n"
    "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    '--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
)


class BadClient(PartnerCalls):
    """One of the bad things after the other."""

    abstract = True

    @task(2)
    def hang_up(self) -> None:
        """Leaves in the middle of an upload."""
        with self._connection() as line:
            line.sendall(self._head() + secrets.token_bytes(200_000))
        self.site.kinds["hung up"] += 1

    @task(1)
    def drip(self) -> None:
        """Sends a byte now and then, until it is cut off or tires of it."""
        until = time.monotonic() + DRIP_S
        with self._connection() as line:
            try:
                line.sendall(self._head())
                while time.monotonic() < until:
                    line.sendall(b"x")
                    gevent.sleep(0.5)
            except OSError:
                self.site.kinds["drip cut off"] += 1
                return
        self.site.kinds["dripped"] += 1

    @task(2)
    def wrong_bytes(self) -> None:
        """What is no audio, by a name that says otherwise."""
        body = (b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\n'
                + secrets.token_hex(5000).encode() + b"\r\n--x--\r\n")  # fmt: skip
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        self.ask("POST", "/process", "POST /process (no audio)", (400,), data=body,
                 headers=headers)  # fmt: skip
        self.site.kinds["no audio"] += 1

    @task(2)
    def wrong_key(self) -> None:
        """A key that nobody has, and none at all."""
        for headers in ({"Authorization": f"Bearer sk_live_{secrets.token_hex(20)}"}, {}):
            self.ask("GET", f"{API}/jobs", f"GET {API}/jobs (wrong key)", (401,), headers=headers)
        self.site.kinds["wrong key"] += 1

    @task(1)
    def retry_storm(self) -> None:
        """One order many times at once, under one Idempotency-Key: it is one job."""
        song, began = self.site.song(), time.monotonic()
        upload_key = self.upload(song)
        if upload_key is None:
            return
        key, order = secrets.token_hex(12), self.order(upload_key)

        def post() -> str | None:
            body = as_json(order)
            body["headers"] |= {"Idempotency-Key": key}
            answer = self.call("POST", "/jobs", "/jobs (storm)", (201,), **body)
            return None if answer is None else str(answer.json()["id"])

        posts = [gevent.spawn(post) for _ in range(STORM)]
        gevent.joinall(posts)
        ids = {one.value for one in posts} - {None}
        self.tell("one job of a storm", time.monotonic() - began,
                  None if len(ids) == 1 else f"{len(ids)} jobs")  # fmt: skip
        for job_id in ids:
            self.call("DELETE", f"/jobs/{job_id}", "/jobs/{id}")
        self.site.kinds["retry storm"] += 1

    def _connection(self) -> socket.socket:
        parts = urlsplit(self.host or "")
        return socket.create_connection((parts.hostname, parts.port or 80), timeout=30)

    def _head(self) -> bytes:
        return HEAD.format(host=urlsplit(self.host or "").netloc).encode()
