"""Callers of the StemSplit API on a real server: keys, songs, and what they are answered."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from server.admin.asking import carry_out
from server.admin.messages import CreateKey
from tests.harness import Server, wait_for

LIMIT = 100_000  # requests a minute: the tests poll


def command(server: Server, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "server.cli", *arguments, "--data-dir", str(server.data)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def new_key(server: Server, account: str, minutes: float = 60) -> str:
    """As `stembox keys create` has it made, without a process for each. A browser's tests have a
    loop in their thread already, so that it takes another one."""
    mask = os.umask(0o077)
    try:
        with ThreadPoolExecutor(1) as pool:
            said = pool.submit(carry_out, CreateKey(account, minutes), server.data).result()
    finally:
        os.umask(mask)
    return said.partition("\n")[0]


class Caller:
    """Plain requests with one key."""

    def __init__(self, server: Server, key: str) -> None:
        self.key = key
        self.http = httpx.Client(
            base_url=f"{server.url}/api/v1", timeout=60, headers={"Authorization": f"Bearer {key}"}
        )

    def upload(self, song: Path | bytes, name: str = "song.wav") -> str:
        ticket = self.http.post("/upload", json={"filename": name}).json()
        data = song if isinstance(song, bytes) else song.read_bytes()
        put = httpx.put(
            ticket["uploadUrl"],
            content=data,
            timeout=60,
            headers={"Content-Type": ticket["contentType"]},
        )
        assert put.status_code == 200, put.text
        return ticket["uploadKey"]

    def create(self, **body: object) -> httpx.Response:
        return self.http.post("/jobs", json=body)

    def end_of(self, job_id: str) -> dict:
        def ended() -> dict | None:
            job = self.http.get(f"/jobs/{job_id}").json()
            return job if job["status"] not in ("PENDING", "PROCESSING") else None

        return wait_for(ended, 240)

    def balance(self) -> int:
        return self.http.get("/balance").json()["balanceSeconds"]


def error(answer: httpx.Response) -> tuple[int, str]:
    body = answer.json()
    assert set(body) == {"error"}
    assert body["error"]["message"]
    return answer.status_code, body["error"]["code"]
