"""A server that may die at any moment, clients who try again, and what must be so afterwards."""

import json
import os
import random
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import standardwebhooks
from stemsplit_python import webhooks as published

from server.upkeep import looking
from tests.e2e.calling import Caller, new_key
from tests.e2e.conftest import write_song
from tests.faults.failpoints import Failpoints
from tests.harness import Server, wait_for
from tests.receiver import Got, Receiver, receiving
from tests.store.invariants import findings

GRANTED = 100_000  # minutes
AFTERWARDS = 3  # songs by each API, after which nobody from before them may still be at work
GIVEN_UP = "given up"  # what is said to users of a song that has had all its attempts
FAULTY = (sys.executable, "-m", "tests.faults.stembox")


class Mortal:
    """A server with an account and an endpoint, and the songs that it has accepted.

    With `faults`, a folder, it is one with failpoints and planted bugs.
    """

    def __init__(
        self, folder: Path, receiver: Receiver, song: Path, faults: Path | None, **settings: object
    ) -> None:
        paths = filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")])
        settings = {
            "limits__requests_per_minute": 100_000, "jobs__max_attempts": 3,
            "fetch__allow_networks": "127.0.0.0/8",
        } | settings  # fmt: skip
        special: dict[str, Any] = {}
        if faults is not None:
            settings = {"audio__confine": "off"} | settings  # failpoints are files of their own
            environ = {"FAULTS": str(faults), "PYTHONPATH": os.pathsep.join(paths)}
            special = {"stembox": FAULTY, "environ": environ}
            self.failpoints = Failpoints(faults)
            self.failpoints.kill_at([])
        self.server = Server(folder / "data", **special, **settings)
        self.receiver, self.song = receiver, song
        self.accepted: set[str] = set()
        self.unsigned: list[str] = []  # what was wrong with signatures, as they came
        self.refusing = 0.0
        self._chance = random.Random(1)

    def answer(self, number: int) -> int:
        """The endpoint's: no event is refused twice, its next attempt would be too late for us."""
        request = self.receiver.got[number]
        self.unsigned += wrong_signatures(request, self.secret)
        before = [got.headers["X-Webhook-Id"] for got in self.receiver.got[:number]]
        new = request.headers["X-Webhook-Id"] not in before
        return 500 if new and self._chance.random() < self.refusing else 200

    def start(self) -> None:
        self.server.start()
        self.caller = Caller(self.server, new_key(self.server, "ann", GRANTED))
        answer = self.caller.http.post("/webhooks", json={"url": self.receiver.url})
        self.secret: str = answer.json()["secret"]

    def again(self, request: Callable[[], httpx.Response]) -> httpx.Response:
        """The answer of a server that may die before it gives one."""
        def answer() -> httpx.Response | None:
            if self.server.process.poll() is not None:
                self.server.start(ready=False)
            with suppress(httpx.TransportError):
                found = request()
                return found if found.status_code != 503 else None
            return None

        found: httpx.Response = wait_for(answer, 240)
        return found

    def upload(self) -> str:
        """The key of an upload that is here."""
        ticket = self.again(
            lambda: self.caller.http.post("/upload", json={"filename": "a.wav"})).json()
        data = self.song.read_bytes()
        put = self.again(lambda: httpx.put(ticket["uploadUrl"], content=data, timeout=60))
        assert put.status_code == 200, put.text
        key: str = ticket["uploadKey"]
        return key

    def split(self, key: str, once: str) -> None:
        """A StemSplit job of an upload: one, however often it must be asked for."""
        body = {"uploadKey": key, "outputType": "BOTH", "quality": "FAST"}
        answer = self.again(lambda: self.caller.http.post(
            "/jobs", json=body, headers={"Idempotency-Key": once}))
        assert answer.status_code == 201, answer.text
        self.accepted.add(answer.json()["id"])

    def plain(self) -> None:
        """A job of the pipeline."""
        answer = self.again(lambda: self.server.post(self.song))
        assert answer.status_code == 200, answer.text
        self.accepted.add(answer.json()["job_id"])

    def round(self) -> None:
        """A song by each API, and their ends."""
        key = self.upload()
        self.split(key, key)
        self.plain()
        self.end()

    def end(self) -> None:
        """Every job that the database knows has ended, and everybody has been told."""
        for nothing in ("SELECT id FROM jobs WHERE state = 'processing'",
                        "SELECT id FROM deliveries WHERE state = 'waiting'"):
            wait_for(lambda rows=nothing: self.again(lambda: self.server.get("/health")).is_success
                     and not self.rows(rows), 300)  # fmt: skip

    def rows(self, statement: str) -> list[Any]:
        return self.server.rows(statement)

    def stuck(self) -> list[str]:
        """Who is still at work when later songs, one after the other, have come out.

        Songs go by the time they were posted, so this counts what must have gone before, and no
        seconds: on a slow machine later songs take longer as well.
        """
        before = {row[0] for row in self.rows("SELECT id FROM jobs WHERE state = 'processing'")}
        for _ in range(AFTERWARDS):
            known = set(self.accepted)
            self.split(self.upload(), f"afterwards {len(known)}")
            self.plain()
            for job in self.accepted - known:
                wait_for(lambda job=job: self.rows(
                    f"SELECT id FROM jobs WHERE id = '{job}' AND state <> 'processing'"), 300)
        left = {row[0] for row in self.rows("SELECT id FROM jobs WHERE state = 'processing'")}
        return sorted(before & left)

    def wrong(self) -> list[str]:
        """What is not as it must be when all have ended. A song may have failed if it had all its
        attempts."""
        path = f"file:{self.server.data}/stembox.db?mode=ro"
        with closing(sqlite3.connect(path, uri=True)) as database:
            wrong = findings(database)
        wrong += [str(found) for found in looking.findings(self.server.data, lambda *_: None)]
        jobs = {row[0]: row[1:] for row in self.rows("SELECT id, api, state, error FROM jobs")}
        wrong += [f"lost: {job}" for job in self.accepted - set(jobs)]
        wrong += [f"{state}: {job}: {error}" for job, (_, state, error) in jobs.items()
                  if state != "completed" and not (state == "failed" and GIVEN_UP in error)]
        wrong += self._wrong_files({job: api for job, (api, state, _) in jobs.items()
                                    if state == "completed"}, set(jobs))  # fmt: skip
        ended = {job: state for job, (api, state, _) in jobs.items() if api == "stemsplit"}
        return wrong + wrong_events(self.receiver.got, ended) + self.unsigned

    def _wrong_files(self, completed: dict[str, str], known: set[str]) -> list[str]:
        outputs = self.server.data / "outputs"
        wrong = [f"a folder of nobody's: {path.name}" for path in outputs.iterdir()
                 if path.name not in known]
        wrong += [f"left behind: {path}" for path in outputs.rglob("*.part")]
        contents: dict[str, Counter[bytes]] = {}
        for job, api in completed.items():
            for file in (path for path in (outputs / job).rglob("*") if path.is_file()):
                name = f"{api} {file.relative_to(outputs / job)}"
                contents.setdefault(name, Counter())[file.read_bytes()] += 1
        return wrong + [
            f"not always the same, or there: {name}: {list(found.values())}"
            for name, found in contents.items()
            if [*found.values()] != [list(completed.values()).count(name.split()[0])]
        ]

    def nothing_left(self) -> bool:
        """Whether all that was only there for running jobs has gone."""
        places = (self.server.data / name for name in ("scratch", "spool"))
        return not [path for place in places for path in place.iterdir()]


def wrong_events(got: list[Got], ended: dict[str, str]) -> list[str]:
    """Each job's end must be told under one id, as it was, and nothing else."""
    told: dict[str, set[tuple[str, str]]] = {}
    for request in got:
        body = json.loads(request.body)
        event = (request.headers["X-Webhook-Id"], body["event"])
        told.setdefault(body["data"]["jobId"], set()).add(event)
    wrong = [f"an event of nobody's: {job}" for job in set(told) - set(ended)]
    for job, state in ended.items():
        events = told.get(job, set())
        if {event for _, event in events} != {f"job.{state}"} or len(events) != 1:
            wrong.append(f"{state}, and told otherwise: {job}: {events}")
    return wrong


def wrong_signatures(request: Got, secret: str) -> list[str]:
    """Both published verifiers must take a request, when it comes."""
    wrong = []
    headers = {name.lower(): value for name, value in request.headers.items()}
    if not published.verify_signature(request.body, headers["x-webhook-signature"], secret):
        wrong.append("not as stemsplit-python verifies it")
    try:
        standardwebhooks.Webhook(secret).verify(request.body, headers)
    except standardwebhooks.WebhookVerificationError as error:
        wrong.append(f"not as standardwebhooks verifies it: {error}")
    return wrong


@contextmanager
def mortal(
    folder: Path, planted: str | None = None, refusing: float = 0.0, **settings: object
) -> Iterator[Mortal]:
    """A started server, and nothing of it left afterwards. planted: a bug's name, or "" for
    failpoints alone. refusing: how often the endpoint does not take an event at first."""
    song, faults = write_song(folder / "a.wav", 2), None
    if planted is not None:
        faults = folder / "faults"
        faults.mkdir()
        (faults / "planted").write_text(planted)
    with receiving(lambda number: server.answer(number)) as receiver:
        server = Mortal(folder, receiver, song, faults, **settings)
        server.refusing = refusing
        try:
            server.start()
            yield server
        finally:
            server.server.kill()
