"""Users of the StemSplit API, as partners' servers behave."""

import secrets
import time
from typing import Any

import gevent
from locust import task

from loadtests.traffic.songs import Song
from loadtests.traffic.users import SiteUser, as_json
from loadtests.traffic.waiting import pauses

API = "/api/v1"
OUTPUTS = ("VOCALS", "INSTRUMENTAL", "BOTH", "FOUR_STEMS")
QUALITIES = ("FAST", "BALANCED", "BEST")
FORMATS = ("MP3", "MP3", "MP3", "FLAC", "WAV")
ENDS = {"COMPLETED": "completed", "FAILED": "failed", "EXPIRED": "expired"}
PAGE = 20


class PartnerCalls(SiteUser):
    """What partners do in a song's life. No tasks: locust adds a base's to those of a class."""

    abstract = True
    watches = True  # its jobs while they run

    def call(self, method: str, path: str, name: str, expected: tuple[int, ...] = (200,),
             **more: Any) -> Any:  # fmt: skip
        """`ask` with the key."""
        headers = more.pop("headers", {}) | {"Authorization": f"Bearer {self.site.key}"}
        return self.ask(method, API + path, f"{method} {API}{name}", expected, headers=headers,
                        **more)  # fmt: skip

    def upload(self, song: Song) -> str | None:
        """The key of an upload that is there."""
        asked = self.call("POST", "/upload", "/upload", **as_json({"filename": song.path.name}))
        if asked is None:
            return None
        url = asked.json()["uploadUrl"]
        sent = self.ask("PUT", url, f"PUT {API}/uploads/{{key}}", data=song.read())
        return None if sent is None else str(asked.json()["uploadKey"])

    def order(self, upload_key: str) -> dict[str, Any]:
        """What is asked for."""
        chance = self.site.chance
        return {
            "uploadKey": upload_key, "outputType": chance.choice(OUTPUTS),
            "quality": chance.choice(QUALITIES), "outputFormat": chance.choice(FORMATS),
        }  # fmt: skip

    def create(self, song: Song) -> str | None:
        """The id of a new job."""
        upload_key = self.upload(song)
        if upload_key is None:
            return None
        body = as_json(self.order(upload_key))
        body["headers"] |= {"Idempotency-Key": secrets.token_hex(12)}
        answer = self.call("POST", "/jobs", "/jobs", (201,), **body)
        if answer is None:
            return None
        job_id = str(answer.json()["id"])
        self.accepted(job_id, self.watches)
        return job_id

    def poll(self, job_id: str) -> dict[str, Any] | None:
        """The job as its partner sees it."""
        answer = self.call("GET", f"/jobs/{job_id}", "/jobs/{id}")
        if answer is None:
            return None
        job: dict[str, Any] = answer.json()
        if job["status"] != "PENDING":
            self.begun(job_id)
        return job


class Partner(PartnerCalls):
    """Uploads, creates, polls with pauses that grow, downloads some tracks; lists now and then."""

    abstract = True

    def await_end(self, job_id: str) -> dict[str, Any] | None:
        """The job once it has ended; None where patience did."""
        until = time.monotonic() + self.site.profile.patience_s
        for pause in pauses(self.site.chance):
            gevent.sleep(pause)
            job = self.poll(job_id)
            if job is None or job["status"] in ENDS:
                return job
            if time.monotonic() > until:
                break
        return None

    @task(6)
    def song(self) -> None:
        """One song's life."""
        song, began = self.site.song(), time.monotonic()
        job_id = self.create(song)
        if job_id is None:
            return
        job = self.await_end(job_id)
        outcome = "given up" if job is None else ENDS[job["status"]]
        self.ended(job_id, outcome, song, began)
        if job is None or outcome != "completed":
            return
        urls = [output["url"] for output in job["outputs"].values()]
        for url in self.site.chance.sample(urls, self.site.chance.randint(1, len(urls))):
            self.download(url, f"GET {API}/downloads/{{id}}/{{name}}")
        if self.site.chance.random() < 0.5:
            self.call("DELETE", f"/jobs/{job_id}", "/jobs/{id}")

    @task(1)
    def change_of_mind(self) -> None:
        """A job that is cancelled soon after it was posted."""
        song, began = self.site.song(), time.monotonic()
        job_id = self.create(song)
        if job_id is None:
            return
        gevent.sleep(self.site.chance.uniform(0, 3))
        if self.call("DELETE", f"/jobs/{job_id}", "/jobs/{id}") is not None:
            self.ended(job_id, "cancelled", song, began)
        else:
            self.left(job_id)

    @task(3)
    def look(self) -> None:
        """What a partner's own page shows: jobs, a page further back, the balance, the ledger."""
        listed = self.call("GET", f"/jobs?limit={PAGE}", "/jobs")
        if listed is not None:
            total = listed.json()["pagination"]["total"]
            offset = self.site.chance.randrange(total + 1)
            self.call("GET", f"/jobs?limit={PAGE}&offset={offset}", "/jobs")
        self.call("GET", "/balance", "/balance")
        self.call("GET", f"/ledger?limit={PAGE}", "/ledger")
        self.call("GET", f"/deliveries?limit={PAGE}", "/deliveries")


class WebhookPartner(Partner):
    """Waits to be told, and asks only then."""

    abstract = True
    watches = False

    def await_end(self, job_id: str) -> dict[str, Any] | None:
        """The job once its webhook has come."""
        receiver = self.site.receiver
        if receiver is None:
            return super().await_end(job_id)
        told = receiver.wait(job_id, self.site.profile.patience_s)
        receiver.forget(job_id)
        job = self.poll(job_id)
        if not told and job is not None and job["status"] in ENDS:
            self.site.webhooks_missing += 1
        return job if job is not None and job["status"] in ENDS else None
