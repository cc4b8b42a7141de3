"""The query of a mix: what is ordered, what is refused, and how it comes down."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from server.api import create_app
from server.api.ports import MixOrder
from server.api.signing import Signer
from server.config import Config
from server.errors import JobNotCompleted, TrackNotFound

from .fakes import FakeJobs, ask, fake_services

BYTES = bytes(range(256)) * 100


class FakeRenders:
    """Takes orders, and gives a file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "rendered"
        self.path.write_bytes(BYTES)
        self.orders: list[MixOrder] = []
        self.callers: list[str] = []
        self.error: Exception | None = None

    async def mix(self, job_id: str, order: MixOrder, caller: str) -> Path:
        self.orders.append(order)
        return await self.stem_file(job_id, caller)

    async def stem_file(self, job_id: str, caller: str) -> Path:
        self.callers.append(caller)
        if self.error is not None:
            raise self.error
        return self.path


@pytest.fixture
def renders(tmp_path: Path) -> FakeRenders:
    return FakeRenders(tmp_path)


@pytest.fixture
def app(config: Config, jobs: FakeJobs, renders: FakeRenders) -> ASGIApp:
    services = fake_services()._replace(renders=renders)
    return create_app(config, jobs, services, Signer(b"s" * 32))


@pytest.fixture
def job(jobs: FakeJobs) -> str:
    return jobs.finished().id


def mix(app: ASGIApp, job: str, query: str = "", **more: Any) -> httpx.Response:
    return ask(app, "GET", f"/job/{job}/mix?{query}", **more)


@pytest.mark.parametrize(("query", "order"), [
    ("", MixOrder({}, [], [], 0.0, None, "WAV")),
    ("gain.vocals=-3.0&mute=drums,bass&solo=&start=0&end=30&format=mp3",
     MixOrder({"vocals": -3.0}, ["drums", "bass"], [], 0.0, 30.0, "MP3")),
    ("gain.vocals=-60&gain.main=12&gain.bass=-inf&solo=main,vocals&start=1.5&format=flac",
     MixOrder({"vocals": -60.0, "main": 12.0}, ["bass"], ["main", "vocals"], 1.5, None, "FLAC")),
    ("start=1" + "&a" * 127, MixOrder({}, [], [], 1.0, None, "WAV")),  # what others add
])  # fmt: skip
def test_what_is_ordered(
    app: ASGIApp, job: str, renders: FakeRenders, query: str, order: MixOrder
) -> None:
    assert mix(app, job, query).status_code == 200
    assert renders.callers == ["127.0.0.1"]
    assert renders.orders == [order]


@pytest.mark.parametrize("query", [
    "gain.vocals=13", "gain.vocals=-61", "gain.vocals=nan", "gain.vocals=inf", "gain.vocals=loud",
    "&".join(f"gain.t{number}=0" for number in range(41)),
    "gain.vocals=", "gain.vocals=1&gain.vocals=2", "mute=a&mute=b", "mute=a,a", "solo=b,b",
    "start=-1", "start=2&end=2", "start=2&end=1", "end=0", "end=inf&start=x", "format=ogg",
    "start=1" + "&a" * 128,
])  # fmt: skip
def test_bad_orders(app: ASGIApp, job: str, renders: FakeRenders, query: str) -> None:
    assert mix(app, job, query).status_code == 400
    assert not renders.orders


@pytest.mark.parametrize(("format", "kind"), [("wav", "audio/wav"), ("flac", "audio/flac"),
                                              ("mp3", "audio/mpeg")])
def test_a_mix_is_an_ordinary_download(app: ASGIApp, job: str, format: str, kind: str) -> None:
    answer = mix(app, job, f"format={format}")
    assert (answer.content, answer.headers["content-type"]) == (BYTES, kind)
    assert f'filename="song - mix.{format}"' in answer.headers["content-disposition"]
    part = mix(app, job, f"format={format}", headers={"Range": "bytes=5-9"})
    assert (part.status_code, part.content) == (206, BYTES[5:10])
    head = ask(app, "HEAD", f"/job/{job}/mix")
    assert (head.content, head.headers["content-length"]) == (b"", str(len(BYTES)))


def test_a_stem_file(app: ASGIApp, job: str) -> None:
    answer = ask(app, "GET", f"/download/{job}/stems.stem.m4a")
    assert (answer.content, answer.headers["content-type"]) == (BYTES, "audio/mp4")
    assert 'filename="song.stem.m4a"' in answer.headers["content-disposition"]


def test_what_cannot_be_rendered(app: ASGIApp, job: str, renders: FakeRenders) -> None:
    for error, status in ((TrackNotFound("Track not found"), 404),
                          (JobNotCompleted("Job not completed"), 409)):
        renders.error = error
        for path in (f"/job/{job}/mix", f"/download/{job}/stems.stem.m4a"):
            answer = ask(app, "GET", path)
            assert (answer.status_code, answer.json()) == (status, {"detail": error.message})
    assert mix(app, "nope").status_code == 404


def test_the_demo_song(app: ASGIApp, jobs: FakeJobs) -> None:
    from server.starter.demo_song import FILE

    answer = ask(app, "POST", "/demo")
    assert (answer.status_code, answer.json()["status"]) == (200, "processing")
    (upload,) = jobs.uploads
    assert (upload.file_name, upload.caller) == ("Demo song.opus", "127.0.0.1")
    assert (upload.folder / "input").read_bytes() == FILE.read_bytes()
    assert upload.size_bytes == FILE.stat().st_size
    jobs.reserve_error = TrackNotFound("no")
    assert ask(app, "POST", "/demo").status_code == 404
    assert ask(app, "GET", "/config").json()["demo"] is True
