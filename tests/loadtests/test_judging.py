"""Runs against servers that do not do what they promise: the verdict and the exit code say so."""

import json
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

PROFILE = """
pause_s = [0.1, 0.2]
patience_s = {patience_s}
shape = {{kind = "steady", users = 2, seconds = {seconds}, spawn_rate = 2.0}}
songs = {{lengths = [1.0], weights = [1.0]}}
users = {{partner = 0, webhook_partner = 1, pipeline = 0, browser = 0, bad = 0}}
"""
SECRET = "whsec_" + "QUJD" * 11
GOOD = {
    "POST /webhooks": (201, {"id": "w", "secret": SECRET}), "DELETE /webhooks/w": (200, {}),
    "POST /upload": (200, {"uploadUrl": "/there", "uploadKey": "k"}), "PUT /there": (200, {}),
    "POST /jobs": (201, {"id": "j"}),
    "GET /jobs/j": (200, {"status": "COMPLETED", "outputs": {}}),
}  # fmt: skip


@contextmanager
def answering(answers: dict[str, tuple[int, Any]]) -> Iterator[str]:
    """A server that answers so, and does nothing; every job has an id of its own."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = self.path.split("?")[0].removeprefix("/api/v1")
            if path.startswith("/jobs/"):
                path = "/jobs/j"
            nothing = (200, {"pagination": {"total": 0}})
            status, answer = answers.get(f"{self.command} {path}", nothing)
            if answer == {"id": "j"}:
                answer = {"id": secrets.token_hex(8)}
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):
                return self.answer
            raise AttributeError(name)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def run(
    tmp_path: Path, answers: dict[str, tuple[int, Any]], seconds: float = 6, patience_s: float = 5
) -> dict[str, Any]:
    (tmp_path / "p.toml").write_text(PROFILE.format(seconds=seconds, patience_s=patience_s))
    (tmp_path / "t.toml").write_text("")
    with answering(answers) as url:
        done = subprocess.run(
            [sys.executable, "-m", "loadtests.traffic", "--traffic", str(tmp_path / "p.toml"),
             "--report", str(tmp_path / "report"), "--thresholds", str(tmp_path / "t.toml"),
             "--songs", str(tmp_path / "songs"), "--host", url, "--key", "k",
             "--webhook-host", "127.0.0.1", "--stop-timeout", "1"],
            capture_output=True, text=True, timeout=280,
        )  # fmt: skip
    found: dict[str, Any] = json.loads((tmp_path / "report" / "verdict.json").read_text())
    assert done.returncode == (1 if found["not_kept"] else 0), done.stderr
    return found


def test_webhooks_that_never_come(tmp_path: Path) -> None:
    """Whoever waits for one still waits when the run is over."""
    found = run(tmp_path, GOOD, patience_s=600)
    assert found["webhooks"]["missing"] == 2
    assert found["not_kept"] == ["webhooks that did not come: 2, at most 0"]


def test_jobs_that_have_not_ended_owe_no_webhook(tmp_path: Path) -> None:
    running = GOOD | {"GET /jobs/j": (200, {"status": "PROCESSING"})}
    assert run(tmp_path, running, patience_s=600)["not_kept"] == []


def test_jobs_that_never_end(tmp_path: Path) -> None:
    running = GOOD | {"GET /jobs/j": (200, {"status": "PROCESSING"})}
    found = run(tmp_path, running, seconds=20, patience_s=1)
    assert found["jobs"]["given up"] >= 2
    assert any("did not complete" in said for said in found["not_kept"])


@pytest.mark.parametrize("broken", [
    {"POST /upload": (200, {})},  # a task of every user fails
    {"POST /webhooks": (500, {})},  # the start of the run itself does
])  # fmt: skip
def test_what_fails_in_the_load_test_itself(
    tmp_path: Path, broken: dict[str, tuple[int, Any]]
) -> None:
    found = run(tmp_path, GOOD | broken)
    assert found["crashes"] > 0
    assert any("crashes of the load test itself" in said for said in found["not_kept"])


def test_each_kind_of_user_does_its_own_things_alone() -> None:
    """Locust adds the tasks of a base to those of a class."""
    code = ("import loadtests.locustfile as file\n"
            "for kind in file.KINDS: print(kind, *sorted({one.__name__ for one in "
            "getattr(file, kind).tasks}))")  # fmt: skip
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines() == [
        "Partner change_of_mind look song", "WebhookPartner change_of_mind look song",
        "PipelineUser song", "Browser song",
        "BadClient drip hang_up retry_storm wrong_bytes wrong_key",
    ]  # fmt: skip
