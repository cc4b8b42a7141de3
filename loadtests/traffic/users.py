"""Locust's users: what they have in common, and those of the pipeline API."""

import json
import secrets
import time
from typing import Any, ClassVar

import gevent
from locust import FastHttpUser, task
from locust.env import Environment

from loadtests.traffic.site import Site
from loadtests.traffic.songs import Song
from loadtests.traffic.waiting import pauses, retry_after

RANGE = 65536  # bytes of a first part
LIMITED = (429, 503)  # the server says when to come back: that is its promise, and no failure
WINDOW_S = 2.0
STEMS = "vocals,drums,bass,other"


class SiteUser(FastHttpUser):
    """One that knows its load machine's `site`, which is set before any is made."""

    abstract = True
    site: ClassVar[Site]
    network_timeout = 120.0
    connection_timeout = 30.0

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._jobs: set[str] = set()  # that it has not seen end

    def on_stop(self) -> None:
        """A user that goes, as it may in the middle of anything, watches its jobs no more."""
        for job_id in [*self._jobs]:
            self.left(job_id)

    def accepted(self, job_id: str, watched: bool = True) -> None:
        """A job was posted."""
        self._jobs.add(job_id)
        self.site.journal.accepted(job_id, self.site.now(), watched)

    def left(self, job_id: str) -> None:
        """What becomes of a job is not seen any more."""
        self._jobs.discard(job_id)
        self.site.journal.left(job_id)

    def wait_time(self) -> float:
        """Seconds between two things."""
        return self.site.chance.uniform(*self.site.profile.pause_s)

    def ask(
        self, method: str, path: str, name: str, expected: tuple[int, ...] = (200,), **more: Any
    ) -> Any:
        """One request: its answer, or None where it was not as expected (and was counted).

        Who is told to come back later does so, and asks again.
        """
        until = time.monotonic() + self.site.profile.patience_s
        while True:
            with self.client.request(method, path, name=name, catch_response=True,
                                     **more) as answer:  # fmt: skip
                if answer.status_code in expected:
                    answer.success()
                    return answer
                if answer.status_code not in LIMITED or time.monotonic() > until:
                    answer.failure(f"{answer.status_code}: {(answer.text or '')[:80]}")
                    return None
                answer.success()
                self.site.errors[f"{answer.status_code} come back later"] += 1
            gevent.sleep(retry_after(answer.headers, 1.0))

    def tell(self, name: str, seconds: float, problem: str | None = None) -> None:
        """Books what no single request is."""
        self.environment.events.request.fire(
            request_type="JOB", name=name, response_time=1000 * seconds, response_length=0,
            context={}, exception=None if problem is None else RuntimeError(problem),
        )  # fmt: skip

    def begun(self, job_id: str) -> None:
        """A job is seen to run."""
        waited = self.site.journal.begun(job_id, self.site.now())
        if waited is not None:
            self.tell("accepted to begun", waited)

    def ended(self, job_id: str, outcome: str, song: Song, began: float) -> None:
        """A job is over."""
        self._jobs.discard(job_id)
        self.site.journal.ended(job_id, outcome, song.seconds)
        good = outcome in ("completed", "cancelled")
        if outcome != "cancelled":
            self.tell("accepted to ended", time.monotonic() - began,
                      None if good else f"job {outcome}")  # fmt: skip

    def download(self, path: str, name: str) -> None:
        """A file as players and download managers fetch it: its beginning, then the rest."""
        first = self.ask("GET", path, name, (206,), headers={"Range": f"bytes=0-{RANGE - 1}"})
        if first is None:
            return
        size = int(first.headers["Content-Range"].split("/")[1])
        if size > RANGE:
            self.ask("GET", path, name, (206,), headers={"Range": f"bytes={RANGE}-{size - 1}"})


def multipart(song: Song) -> tuple[bytes, dict[str, str]]:
    """The body and the headers of a form with a file."""
    mark = secrets.token_hex(12)
    head = (f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{song.path.name}"'
            "\r\nContent-Type: audio/flac\r\n\r\n")  # fmt: skip
    body = head.encode() + song.read() + f"\r\n--{mark}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={mark}"}


class PipelineCalls(SiteUser):
    """What users of the pipeline API do in a song's life. No tasks: locust adds a base's to those
    of a class."""

    abstract = True

    def post(self, song: Song) -> str | None:
        """The id of a new job."""
        body, headers = multipart(song)
        answer = self.ask("POST", "/process", "POST /process", data=body, headers=headers)
        if answer is None:
            return None
        job_id = str(answer.json()["job_id"])
        self.accepted(job_id)
        return job_id

    def poll(self, job_id: str) -> str:
        """The job's status: processing, completed, failed, or gone."""
        answer = self.ask("GET", f"/job/{job_id}", "GET /job/{id}")
        if answer is None:
            return "gone"
        job = answer.json()
        if any(stage["status"] != "pending" for stage in job["stages"]):
            self.begun(job_id)
        return str(job["status"])


class PipelineUser(PipelineCalls):
    """Posts a song, polls its job, takes a track and the ZIP, and mostly cleans up."""

    abstract = True

    def until_ended(self, job_id: str) -> str:
        """How the job ended; `given up` where patience did."""
        until = time.monotonic() + self.site.profile.patience_s
        for pause in pauses(self.site.chance):
            gevent.sleep(pause)
            status = self.poll(job_id)
            if status != "processing":
                return status
            if time.monotonic() > until:
                break
        return "given up"

    @task
    def song(self) -> None:
        """One song's life."""
        song, began = self.site.song(), time.monotonic()
        job_id = self.post(song)
        if job_id is None:
            return
        outcome = self.until_ended(job_id)
        self.ended(job_id, outcome, song, began)
        if outcome == "completed":
            self.download(f"/download/{job_id}/vocals", "GET /download/{id}/{track}")
            self.ask("GET", f"/download/{job_id}/all", "GET /download/{id}/all")
            if self.site.chance.random() < 0.7:
                self.ask("DELETE", f"/job/{job_id}", "DELETE /job/{id}")


class Browser(PipelineCalls):
    """The page: plays the stems while they come apart, and draws their waveforms."""

    abstract = True

    @task
    def song(self) -> None:
        """Listens to one song as it is made, in time."""
        song, began, heard, outcome = self.site.song(), time.monotonic(), 0.0, "processing"
        job_id = self.post(song)
        if job_id is None:
            return
        while outcome == "processing" and time.monotonic() - began < self.site.profile.patience_s:
            if self._window(job_id, heard):
                if heard == 0.0:
                    self.tell("dropped to first sound", time.monotonic() - began)
                heard = (heard + WINDOW_S) % song.seconds
            self.ask("GET", f"/job/{job_id}/peaks?zoom=coarse", "GET /job/{id}/peaks")
            outcome = self.poll(job_id)
            gevent.sleep(WINDOW_S)
        self.ended(job_id, "given up" if outcome == "processing" else outcome, song, began)
        self.ask("DELETE", f"/job/{job_id}", "DELETE /job/{id}")

    def _window(self, job_id: str, start: float) -> bool:
        """Whether there was something to hear."""
        query = f"tracks={STEMS}&start={start:g}&seconds={WINDOW_S:g}&format=s16"
        answer = self.ask("GET", f"/job/{job_id}/window?{query}", "GET /job/{id}/window")
        return answer is not None and int(answer.headers["X-Frames"]) > 0


def as_json(value: dict[str, Any]) -> dict[str, Any]:
    """A body in JSON, as arguments of a request."""
    return {"data": json.dumps(value), "headers": {"Content-Type": "application/json"}}
