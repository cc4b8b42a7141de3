"""An endpoint of ours for webhooks: verifies what comes, and lets those go on who wait for it."""

import base64
import hashlib
import hmac
import json
import time
from collections import Counter
from typing import Any

from gevent.event import Event
from gevent.pywsgi import WSGIServer

TOLERANCE_S = 300.0


def verified(secret: str, headers: dict[str, str], body: bytes, now: float) -> bool:
    """Whether both signatures are right: the document's, and that of Standard Webhooks.

    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    headers: names in small letters.
    """
    ours = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    name, moment = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = f"{name}.{moment}.".encode() + body
    digest = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    shown = headers.get("webhook-signature", "").split(" ")
    return (
        hmac.compare_digest(headers.get("x-webhook-signature", ""), ours)
        and any(hmac.compare_digest(one, f"v1,{digest}") for one in shown)
        and moment.isdigit() and abs(now - int(moment)) <= TOLERANCE_S
    )  # fmt: skip


class Receiver:
    """Listens on `host`, any port. `counts`: verified, unverified, repeated."""

    def __init__(self, host: str, secret: str = "") -> None:
        self.secret = secret
        self.counts: Counter[str] = Counter()
        self._seen: set[str] = set()
        self._told: dict[str, Event] = {}
        self._server = WSGIServer((host, 0), self._answer, log=None)
        self._server.start()
        self.url = f"http://{host}:{self._server.server_port}/hook"

    def wait(self, job_id: str, seconds: float) -> bool:
        """Waits until something verified is told of a job."""
        return bool(self._event(job_id).wait(seconds))

    def untold(self) -> list[str]:
        """The jobs that somebody waits for, or did when the run was over."""
        return [job_id for job_id, told in self._told.items() if not told.is_set()]

    def forget(self, job_id: str) -> None:
        """Nobody waits for this job any more."""
        self._told.pop(job_id, None)

    def close(self) -> None:
        """Stops listening."""
        self._server.stop(timeout=1)

    def _event(self, job_id: str) -> Event:
        return self._told.setdefault(job_id, Event())

    def _answer(self, environ: dict[str, Any], start: Any) -> list[bytes]:
        body = environ["wsgi.input"].read()
        headers = {
            name.removeprefix("HTTP_").replace("_", "-").lower(): value
            for name, value in environ.items() if name.startswith("HTTP_")
        }  # fmt: skip
        if not verified(self.secret, headers, body, time.time()):
            self.counts["unverified"] += 1
            start("400 Bad Request", [])
            return []
        name = headers["webhook-id"]
        self.counts["repeated" if name in self._seen else "verified"] += 1
        self._seen.add(name)
        self._event(json.loads(body)["data"]["jobId"]).set()
        start("204 No Content", [])
        return []
