"""The jobs room in memory, and a real server in a thread, for the tests of the HTTP layer."""

import asyncio
import contextlib
import shutil
import socket
import threading
import time
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from starlette.types import ASGIApp

from server.api import create_app
from server.api.pipeline.wire import PROCESSORS
from server.api.ports import (
    Audible,
    InstalledModel,
    JobView,
    Outlook,
    Services,
    StageView,
    TrackFile,
    Upload,
)
from server.api.signing import Signer
from server.config import Config
from server.errors import AddressForbidden, InvalidKey, JobNotFound, MissingKey
from server.jobs.models import Part
from store import Job
from store.accounts import Key

CREATED_AT = 1705314645.123456  # 2024-01-15T10:30:45.123456 UTC
STEMS = ("vocals", "drums", "bass", "other")
PATTERN = bytes(i * 31 % 251 for i in range(251))
TRACKS = (
    *((name, "demucs_output") for name in STEMS),
    *((name, "harmonic_percussive") for name in ("harmonic", "percussive")),
    *((name, "composite") for name in ("main", "main_harmonic", "main_percussive")),
)


class FakeAccounts:
    """One key, and no database."""

    async def authenticate(self, key: str | None, scope: str) -> Any:
        if not key:
            raise MissingKey("Missing API key")
        if key != "good":
            raise InvalidKey("Invalid API key")
        return Key("h", "sk_live_x", "ann", 1.0, None, scope, None)


class FakeFigures:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.requests: list[tuple[Any, ...]] = []

    def answered(self, *told: Any) -> None:
        self.requests.append(told)

    async def scrape(self, accept: str) -> tuple[bytes, str]:
        return f"# {accept}\n".encode(), "text/plain; version=0.0.4"

    def kinds(self) -> list[tuple[Any, ...]]:
        return [told[:3] for told in self.requests]


class FakeWebhooks:
    """Takes every address but one."""

    def check_url(self, url: str) -> None:
        if "private" in url:
            raise AddressForbidden("This address may not be called")


class FakeOutlooks:
    """Every job stands in the same way."""

    async def of(self, job: Job) -> Outlook:
        audible = Audible(44100, 551250, {"vocals": 44100, "mix": 551250})
        return Outlook(42, ["vocals", "mix"], CREATED_AT, 12.5, audible, 0, 30, None)


class FakeModels:
    """Two models, and a preset of both."""

    async def installed(self) -> list[InstalledModel]:
        return [
            InstalledModel("drumsep", "mdx23c", ["kick", "snare"], 1000, None, [], None),
            InstalledModel("starter", "starter", list(STEMS), 2000, "MIT", ["best"], 0.125),
            InstalledModel("both", "preset", ["kick"], 3000, None, [], None,
                           [Part("drumsep", 1000, None), Part("starter", 2000, "MIT")]),
        ]


class FakeHealth:
    """Ails as it is told."""

    def __init__(self) -> None:
        self.ailments: list[str] = []
        self.alive = True

    def problems(self) -> list[str]:
        return self.ailments


def fake_services(health: FakeHealth | None = None) -> Services:
    """What the pipeline's routes use of the rest of the jobs room."""
    accounts, webhooks, outlooks = FakeAccounts(), FakeWebhooks(), FakeOutlooks()
    health = health or FakeHealth()
    rest = (None, None, outlooks, None, health, FakeModels())
    return Services(None, accounts, None, webhooks, *rest)  # type: ignore[arg-type]


def app_of(config: Config, jobs: "FakeJobs") -> ASGIApp:
    """The app over a fake jobs room."""
    return create_app(config, jobs, fake_services(jobs.health), Signer(b"s" * 32))


class FakeJobs:
    """Keeps uploads and jobs in a folder and a dict; fails on demand."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.jobs: dict[str, JobView] = {}
        self.uploads: list[Upload] = []
        self.discarded: list[str] = []
        self.callers: list[str] = []
        self.reserve_error: Exception | None = None
        self.submit_error: Exception | None = None
        self.get_error: Exception | None = None
        self.health = FakeHealth()
        self.extra: dict[str, Any] = {}

    @property
    def spool(self) -> Path:
        return self.root / "spool"

    def spooled(self) -> list[Path]:
        """Everything that lies in the spool, folders as well."""
        return sorted(self.spool.rglob("*")) if self.spool.exists() else []

    async def reserve(self, size: int, caller: str) -> tuple[str, Path]:
        self.callers.append(caller)
        if self.reserve_error:
            raise self.reserve_error
        job_id = str(uuid.uuid4())
        folder = self.spool / job_id
        folder.mkdir(parents=True)
        return job_id, folder

    async def discard(self, job_id: str) -> None:
        self.discarded.append(job_id)
        shutil.rmtree(self.spool / job_id, ignore_errors=True)

    async def submit(self, upload: Upload) -> JobView:
        if self.submit_error:
            await self.discard(upload.job_id)  # as the real one does
            raise self.submit_error
        self.uploads.append(upload)
        view = new_job(upload.job_id, upload.file_name)
        self.jobs[view.id] = view
        return view

    async def get(self, job_id: str, account_id: str | None = None) -> JobView:
        if self.get_error:
            raise self.get_error
        if job_id not in self.jobs:
            raise JobNotFound(f"no job {job_id!r}")
        return self.jobs[job_id]

    async def sum_up(self, view: JobView) -> JobView:
        return view

    async def delete(self, job_id: str, account_id: str | None = None) -> None:
        await self.get(job_id, account_id)
        del self.jobs[job_id]

    def about(self) -> dict[str, Any]:
        return self.extra

    def finished(
        self, state: str = "completed", size: int = 300_000, file_name: str = "song.wav"
    ) -> JobView:
        """Adds a job with all nine tracks on disk, each of other bytes and another length."""
        job_id = str(uuid.uuid4())
        tracks = {}
        for number, (name, folder) in enumerate(TRACKS):
            path = self.root / "outputs" / job_id / folder / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((PATTERN * (size // len(PATTERN) + 2))[number : size + 2 * number])
            tracks[name] = TrackFile(path, path.stat().st_size, zlib.crc32(path.read_bytes()))
        stages = [
            StageView(
                name=name,
                state="completed",
                started_at=CREATED_AT + 1,
                completed_at=CREATED_AT + 287.531,
                error=None,
            )
            for name in PROCESSORS
        ]
        view = JobView(
            id=job_id,
            state=state,
            created_at=CREATED_AT,
            file_name=file_name,
            stages=stages,
            tracks=tracks,
            error=None,
            heard=None,
            stored=stored(job_id),
        )
        self.jobs[job_id] = view
        return view


def stored(job_id: str) -> Job:
    """What a view is made of; nobody here looks into it."""
    return Job(job_id, "pipeline", "processing", "{}", CREATED_AT, None, None, None, None, None,
               "{}", 0, None, 0, [], {})  # fmt: skip


def new_job(job_id: str, file_name: str) -> JobView:
    """A job as it stands right after it was accepted: its first stage runs."""
    first, *others = PROCESSORS
    return JobView(
        id=job_id,
        state="processing",
        created_at=CREATED_AT,
        file_name=file_name,
        stages=[
            StageView(first, "processing", CREATED_AT + 1, None, None),
            *(StageView(name, "pending", None, None, None) for name in others),
        ],
        tracks={},
        error=None,
        heard=None,
        stored=stored(job_id),
    )


def ask(app: ASGIApp, method: str, path: str, **kwargs: Any) -> httpx.Response:
    """One request to the app itself, without a server."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **kwargs)

    return asyncio.run(send())


@contextlib.contextmanager
def serving(app: ASGIApp, http: Any = "httptools") -> Iterator[int]:
    """A real server for `app` on a random port of the loopback interface; yields the port."""
    config = uvicorn.Config(app, log_level="warning", access_log=False, http=http, lifespan="off")
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def wait_until(holds: Any, seconds: float = 10.0) -> None:
    """Returns as soon as `holds()` is true; fails after a time that only a defect needs."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "what the test waits for never came"
        time.sleep(0.005)
