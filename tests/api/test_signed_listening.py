"""Signed URLs of a job's sound: whose files are gone, and what they tell of themselves."""

import asyncio
import contextlib
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
import starlette.requests

from server.api import create_app
from server.api.signing import DownloadGrant, Signer, UrlExpired
from server.api.v1 import listening, wire
from server.config import load
from server.errors import JobNotFound
from server.jobs.orders import Request, SplitJob
from store import Job

from .fakes import FakeJobs, ask, fake_services

SIGNER = Signer(b"s" * 32)


class Jobs:
    """One job, which has expired."""

    async def find(self, job_id: str) -> Any:
        if job_id != "expired":
            raise JobNotFound("Job not found.")
        request = SimpleNamespace(file_name="a.wav")
        return SimpleNamespace(job=SimpleNamespace(id=job_id), request=request)

    def file(self, job: Any, name: str) -> None:
        return None


class Gone:
    """Finds nothing of any job, as `Listening` and `Renders` do of one that has expired."""

    async def window(self, *order: Any) -> Any:
        raise JobNotFound("Job not found")

    peaks = mix = stem_file = window


@pytest.mark.parametrize(("job_id", "told"), [
    ("expired", ("NOT_FOUND", "This file has been removed.")),
    ("other", ("JOB_NOT_FOUND", "Job not found.")),
])  # fmt: skip
@pytest.mark.parametrize("name", ["window", "peaks", "mix", "stems.stem.m4a", "vocals.mp3"])
def test_every_url_of_an_expired_job_says_that_its_files_are_gone(
    tmp_path: Path, name: str, job_id: str, told: tuple[str, str]
) -> None:
    """The job itself is still told of; only of one that never was it is said that there is none."""
    services = fake_services()._replace(stemsplit=Jobs(), listening=Gone(), renders=Gone())  # type: ignore[arg-type]
    app = create_app(load(environ={}), FakeJobs(tmp_path), services, SIGNER)
    signed = "vocals.mp3" if name == "vocals.mp3" else "studio"
    path = SIGNER.download_path(DownloadGrant(job_id, signed, int(time.time()) + 60))
    answer = ask(app, "GET", path.replace(f"/{signed}?", f"/{name}?tracks=vocals&"))
    assert answer.status_code == 404
    assert (answer.json()["error"]["code"], answer.json()["error"]["message"]) == told


START = 1_800_000_000.0  # of the clock, and of half an hour


class Listener:
    """Somebody with one URL of a job's sound, and a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, status: str) -> None:
        self.now, self.status, self.ended_at = START, status, START
        clock = SimpleNamespace(time=lambda: self.now)
        monkeypatch.setattr(listening, "time", clock)
        services: Any = SimpleNamespace(stemsplit=self, outlook_of=self.outlook, listening=None,
                                        renders=None)  # fmt: skip
        self.api = listening.SignedListening(services, SIGNER, self.detail)
        self.url = self.detail(None, self.job(), self.seen(), START).studio.window_url

    def job(self) -> SplitJob:
        ended = self.status == "completed"
        job = Job(id="j", api="stemsplit", state=self.status, options="{}", created_at=1.0,
                  started_at=2.0, completed_at=self.ended_at if ended else None, expired_at=None,
                  error=None, account_id="a", request="{}", progress=100, callback_url=None,
                  charged=5, stages=[], tracks={})  # fmt: skip
        request = Request(output_type="BOTH", quality="BEST", output_format="MP3", model="m",
                          file_name="s.mp3", metadata={"customer": "alice"})  # fmt: skip
        return SplitJob(job, request, self.status, {"vocals": "vocals.mp3"})

    def seen(self) -> Any:
        audible = SimpleNamespace(stems=1, total=1, tracks={})
        return SimpleNamespace(progress=100, tracks=["vocals"], expires_at=None, seconds=5,
                               audible=audible, position=0, eta=None, error=None)  # fmt: skip

    async def find(self, job_id: str) -> SplitJob:
        return self.job()

    async def outlook(self, job: SplitJob) -> Any:
        return self.seen()

    def detail(self, _: Any, job: SplitJob, outlook: Any, now: float) -> wire.JobDetailResponse:
        return wire.detail(
            job, lambda *grant: SIGNER.download_path(DownloadGrant(*grant)), now, 86400, outlook
        )

    def hears(self) -> dict[str, Any]:
        """The first event by its URL; with the next, it goes on."""
        url = urlsplit(self.url)
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "state": {},
                 "query_string": url.query.encode(), "path_params": {"id": "j"}}  # fmt: skip

        async def first() -> bytes:
            answer: Any = await self.api.events(starlette.requests.Request(scope))
            async with contextlib.aclosing(answer.body_iterator) as body:
                return await anext(aiter(body))

        told: dict[str, Any] = msgspec.json.decode(
            asyncio.run(first()).split(b"data: ", 1)[1].split(b"\n")[0]
        )
        self.url = told["studio"]["windowUrl"]
        return told


@pytest.mark.parametrize(("status", "hours"), [("completed", 1.0), ("processing", 10.0)])
def test_a_url_of_an_ended_job_is_no_url_for_ever(
    monkeypatch: pytest.MonkeyPatch, status: str, hours: float
) -> None:
    """While a job runs its events tell new ones, however long that takes."""
    listener = Listener(monkeypatch, status)
    for _ in range(24):
        listener.now += 1500
        if listener.now >= START + 3600 * hours:
            break
        told = listener.hears()
        assert told["metadata"] is None, "between the account and us"
        for output in (told["outputs"] or {}).values():
            assert int(parse_qs(urlsplit(output["url"]).query)["expires"][0]) <= START + 3600
    if hours == 1.0:
        with pytest.raises(UrlExpired):
            listener.hears()
    else:
        assert listener.now >= START + 3600 * hours


def test_the_end_is_told_with_urls_that_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long ago the stream was opened, or began."""
    listener = Listener(monkeypatch, "processing")
    opened = listener.url
    listener.now += 3000
    listener.status, listener.ended_at, listener.url = "completed", listener.now, opened
    told = listener.hears()
    for url in (told["studio"]["windowUrl"], told["outputs"]["vocals"]["url"]):
        left = int(parse_qs(urlsplit(url).query)["expires"][0]) - listener.now
        assert 1500 <= left <= 3600
