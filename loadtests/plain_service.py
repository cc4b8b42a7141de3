"""What `GET /jobs/{id}` costs in a plain FastAPI + SQLAlchemy service: the benchmark's other side.

Written as their documentations teach it: dependencies for session and account, an ORM model with
relations, a response model, a rate limit in memory. It answers what ours answers; at `/open`
without key and limit.
"""

import hashlib
import hmac
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from pydantic import BaseModel
from sqlalchemy import ForeignKey, create_engine, event, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

SECRET = b"s" * 32
LIMIT = 10**9


class Base(DeclarativeBase):
    """Of all tables."""


class Key(Base):
    """An API key's hash and its account."""

    __tablename__ = "keys"
    hash: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str]


class Track(Base):
    """A finished file of a job."""

    __tablename__ = "tracks"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    path: Mapped[str]


class Job(Base):
    """A job with its tracks."""

    __tablename__ = "jobs"
    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str]
    status: Mapped[str]
    progress: Mapped[int]
    file_name: Mapped[str]
    seconds: Mapped[int]
    size: Mapped[int]
    output_type: Mapped[str]
    created_at: Mapped[float]
    tracks: Mapped[list[Track]] = relationship(lazy="selectin")


class Output(BaseModel):
    """A file to download."""

    url: str
    expiresAt: datetime  # noqa: N815


class JobAnswer(BaseModel):
    """What is told of a job."""

    id: str
    status: str
    progress: int
    createdAt: datetime  # noqa: N815
    input: dict[str, Any]
    options: dict[str, Any]
    outputs: dict[str, Output] | None
    creditsCharged: int  # noqa: N815


class Health(BaseModel):
    """What is told of the service."""

    status: str
    version: str
    pipeline_stages: int


def create_app(database: str) -> FastAPI:
    """The service on a SQLite file, which is filled with one key ("key") and one job ("job")."""
    engine = create_engine(f"sqlite:///{database}", connect_args={"check_same_thread": False})
    event.listen(engine, "connect", lambda db, _: db.execute("PRAGMA journal_mode=WAL"))
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Key(hash=hashlib.sha256(b"key").hexdigest(), account_id="ann"))
        session.add(Job(
            id="job", account_id="ann", status="COMPLETED", progress=100, file_name="a.mp3",
            seconds=180, size=1, output_type="FOUR_STEMS", created_at=1.0,
            tracks=[Track(name=n, path=f"{n}.mp3") for n in ("vocals", "drums", "bass", "other")],
        ))  # fmt: skip
        session.commit()
    app, windows = FastAPI(), dict[str, tuple[float, int]]()

    def database_session() -> Iterator[Session]:
        with Session(engine) as session:
            yield session

    Db = Annotated[Session, Depends(database_session)]

    def account(request: Request, response: Response, db: Db) -> str:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        key = db.scalar(select(Key).where(Key.hash == hashlib.sha256(given.encode()).hexdigest()))
        if key is None:
            raise HTTPException(401, "Invalid API key")
        began, used = windows.get(key.hash, (time.time(), 0))
        windows[key.hash] = (began, used + 1) if time.time() - began < 60 else (time.time(), 1)
        if used >= LIMIT:
            raise HTTPException(429, "Rate limit exceeded")
        response.headers["X-RateLimit-Remaining"] = str(LIMIT - used)
        return key.account_id

    @app.get("/api/v1/jobs/{job_id}", response_model=JobAnswer)
    def get_job(job_id: str, account_id: Annotated[str, Depends(account)], db: Db) -> JobAnswer:
        job = db.get(Job, job_id)
        if job is None or job.account_id != account_id:
            raise HTTPException(404, "Job not found")
        return answer(job)

    @app.get("/open/jobs/{job_id}", response_model=JobAnswer)
    def get_open_job(job_id: str, db: Db) -> JobAnswer:
        job = db.get(Job, job_id)
        if job is None:
            raise HTTPException(404, "Job not found")
        return answer(job)

    @app.get("/health", response_model=Health)
    async def health() -> Health:
        return Health(status="healthy", version="1.0.0", pipeline_stages=4)

    def answer(job: Job) -> JobAnswer:
        expires = int(time.time()) + 3600
        return JobAnswer(
            id=job.id, status=job.status, progress=job.progress,
            createdAt=datetime.fromtimestamp(job.created_at, UTC),
            input={"fileName": job.file_name, "durationSeconds": job.seconds,
                   "fileSizeBytes": job.size},
            options={"outputType": job.output_type, "quality": "BEST", "outputFormat": "MP3"},
            outputs={t.name: Output(url=sign(job.id, t.path, expires),
                                    expiresAt=datetime.fromtimestamp(expires, UTC))
                     for t in job.tracks},
            creditsCharged=job.seconds,
        )  # fmt: skip

    return app


def sign(job_id: str, name: str, expires: int) -> str:
    """A signed URL."""
    path = f"/downloads/{job_id}/{name}?expires={expires}"
    signature = hmac.new(SECRET, path.encode(), "sha256").hexdigest()
    return f"http://localhost{path}&signature={signature}"
