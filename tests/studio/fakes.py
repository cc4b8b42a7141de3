"""The page over a server in memory: songs whose tracks and progress a test sets by hand.

It answers as the pipeline API does, from arrays; what the real server makes of a song is tested
elsewhere.
"""

import asyncio
import base64
import json
import threading
import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from server.api.files.file_names import attachment
from server.studio import routes as studio_routes

RATE = 44_100
ZOOMS = (512, 8192)
STEMS = ("vocals", "drums", "bass", "other")
STAGES = ("audio_separation", "harmonic_percussive_separation", "composite_track_creation",
          "normalization")  # fmt: skip
Array = np.ndarray[Any, np.dtype[np.int16]]


def music(seconds: float, seed: int = 1) -> dict[str, Array]:
    """Nine tracks that look and sound a little like what they are called."""
    rng = np.random.default_rng(seed)
    time_axis = np.arange(round(seconds * RATE)) / RATE
    beat = np.exp(-6 * (time_axis * 2 % 1))
    phrase = np.clip(np.sin(2 * np.pi * time_axis / 7.3) + 0.5, 0, 1)
    noise = rng.standard_normal(len(time_axis))
    tone = lambda hertz: np.sin(2 * np.pi * hertz * time_axis)  # noqa: E731
    swell = 0.5 + 0.4 * np.sin(2 * np.pi * time_axis / 11)
    parts = {
        "vocals": 0.5 * phrase * tone(330) * (0.7 + 0.3 * tone(5.1)),
        "drums": 0.35 * beat * noise,
        "bass": 0.4 * tone(65) * np.exp(-1.5 * (time_axis % 1)),
        "other": 0.25 * swell * (tone(440) + 0.5 * tone(554)),
    }
    mix = sum(parts.values())
    parts["harmonic"] = mix - parts["drums"]
    parts["percussive"] = parts["drums"]
    parts |= {"main": 0.8 * mix, "main_harmonic": 0.8 * parts["harmonic"],
              "main_percussive": parts["drums"], "mix": mix}
    return {name: stereo(wave) for name, wave in parts.items()}


def stereo(wave: np.ndarray) -> Array:
    whole = np.clip(np.round(wave * 20_000), -32768, 32767).astype(np.int16)
    return np.stack([whole, whole], axis=1)


class FakeJob:
    """One song. A test moves `final`, `state`, `queue`; whoever listens hears of it."""

    def __init__(self, tracks: dict[str, Array], name: str = "song.wav") -> None:
        self.id = str(uuid.uuid4())
        self.tracks = tracks
        self.name = name
        self.total = len(next(iter(tracks.values())))
        self.final = dict.fromkeys(tracks, 0)
        self.state = "processing"
        self.queue = 0
        self.error: str | None = None
        self.warnings: list[str] = []
        self.gone = False

    def advance(self, seconds: float, *names: str) -> None:
        """So many seconds of these tracks (all) are final."""
        for name in names or self.tracks:
            self.final[name] = min(self.total, round(seconds * RATE))

    def complete(self) -> None:
        self.advance(self.total / RATE)
        self.state = "completed"

    @property
    def stems(self) -> list[str]:
        """What its model makes: the four, as far as it has them; else all but the mix."""
        return [n for n in STEMS if n in self.tracks] or [n for n in self.tracks if n != "mix"]

    @property
    def progress(self) -> float:
        stems = self.stems
        return round(100 * sum(self.final[name] for name in stems) / len(stems) / self.total, 1)

    def answer(self) -> dict[str, Any]:
        ended = self.state == "completed"
        far = min(self.final[name] for name in self.stems)
        return {
            "job_id": self.id, "status": self.state, "created_at": now(), "error": self.error,
            "stages": [self._stage(name) for name in STAGES],
            "outputs": {name: f"/outputs/{name}.wav" for name, final in self.final.items()
                        if final == self.total and name != "mix"},
            "progress": self.progress, "queue": {"position": self.queue} if self.queue else None,
            "eta_seconds": None if ended else 12,
            "listen": {"final_frames": far, "total_frames": self.total,
                       "tracks": {name: final for name, final in self.final.items() if final}},
            "tracks": list(self.tracks),
            "input": {"file_name": self.name, "duration_seconds": self.total / RATE,
                      "warnings": self.warnings},
        }  # fmt: skip


    def _stage(self, name: str) -> dict[str, Any]:
        running = "failed" if self.error else "pending" if self.queue else "processing"
        status = "completed" if self.state == "completed" else "pending"
        return {"name": name, "processor_type": "", "started_at": None, "completed_at": None,
                "status": running if name == STAGES[0] and status == "pending" else status,
                "error": self.error, "duration_seconds": None}  # fmt: skip


class FakeServer:
    """The routes that the page calls. `songs` are what the next uploads turn out to be."""

    def __init__(self) -> None:
        self.jobs: dict[str, FakeJob] = {}
        self.songs: list[FakeJob] = []
        self.refusal: tuple[int, str] | None = None
        self.away = False
        self.silent = False  # event streams that are open say nothing more, and stay open
        self.held = False  # files that are asked for meanwhile come to their half, and wait
        self.cut = False  # and no further
        self.unheard = False  # songs come in, and the answer gets lost
        self.reads = threading.Event()  # whether what has come in whole is looked at
        self.reads.set()
        self.torn = "-"  # errors, cut off within their bodies, from addresses that begin so
        self.lost = "-"  # no answer for addresses that begin so
        self.dropped = "-"  # there is nothing at addresses that begin so
        self.key = ""
        self.retention = 24.0  # hours
        self.full = 0  # seconds for which whoever listens is told to wait
        self.waits: list[float] = []  # when somebody was told so
        self.requests: list[str] = []
        self.streams: list[str] = []  # jobs whose events are being told
        self.lock = threading.Lock()
        self.app = Starlette(routes=[
            Route("/config", self.config),
            Route("/process", self.process, methods=["POST"]),
            Route("/demo", self.demo, methods=["POST"]),
            Route("/job/{id}", self.job, methods=["GET", "DELETE"]),
            Route("/job/{id}/events", self.events),
            Route("/job/{id}/window", self.window),
            Route("/job/{id}/peaks", self.peaks),
            Route("/job/{id}/mix", self.mix),
            Route("/download/{id}/{name}", self.download),
            *studio_routes(),
        ])  # fmt: skip

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            query = scope["query_string"].decode()
            self.requests.append(f"{scope['method']} {scope['path']}?{query}")
            if self.away or scope["path"].startswith(self.lost):
                raise ConnectionError("the server is away")
            if scope["path"].startswith(self.torn):
                length = [(b"content-length", b"5000")]
                await send({"type": "http.response.start", "status": 502, "headers": length})
                await send({"type": "http.response.body", "body": b"<html>", "more_body": True})
                raise ConnectionError("the server went away")
            if scope["path"].startswith(self.dropped):
                await JSONResponse({"detail": "Not found"}, 404)(scope, receive, send)
                return
            if self.full and scope["path"].endswith(("/window", "/peaks")):
                self.waits.append(time.monotonic())
                answer = JSONResponse({"detail": "Rate limit exceeded"}, 429,
                                      {"Retry-After": str(self.full)})
                await answer(scope, receive, send)
                return
            if not self._lets_in(scope):
                await JSONResponse({"detail": "Missing API key"}, 401)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _lets_in(self, scope: Any) -> bool:
        given = dict(scope["headers"]).get(b"x-api-key", b"").decode()
        guarded = ("/process", "/demo", "/job", "/download")
        return given == self.key or not scope["path"].startswith(guarded)

    def add(self, job: FakeJob) -> FakeJob:
        self.jobs[job.id] = job
        return job

    async def config(self, _: Request) -> Response:
        return JSONResponse({
            "max_file_size_mb": 500, "pipeline_stages": [], "demo": True,
            "retention_hours": self.retention,
            "supported_formats": ["wav", "mp3", "flac", "ogg", "m4a", "opus", "webm"],
        })

    async def process(self, request: Request) -> Response:
        name = (await request.form())["file"].filename  # type: ignore[union-attr]
        if self.refusal is not None:
            return JSONResponse({"detail": self.refusal[1]}, self.refusal[0])
        for _ in range(3000):  # a minute: a test that has failed must not hang
            if self.reads.is_set():
                break
            await asyncio.sleep(0.02)
        job = self.songs.pop(0)
        job.name = name
        answer = self.add(job).answer()
        return StreamingResponse(self._nothing()) if self.unheard else JSONResponse(answer)

    async def demo(self, _: Request) -> Response:
        return JSONResponse(self.add(self.songs.pop(0)).answer())

    async def job(self, request: Request) -> Response:
        job = self._find(request)
        if job is None:
            return JSONResponse({"detail": "Job not found"}, 404)
        if request.method == "DELETE":
            job.gone = True
        return JSONResponse(job.answer())

    async def events(self, request: Request) -> Response:
        job = self._find(request)
        if job is None:
            return JSONResponse({"detail": "Job not found"}, 404)
        return StreamingResponse(self._events(job), media_type="text/event-stream")

    async def _events(self, job: FakeJob) -> AsyncIterator[str]:
        told = ""
        self.streams.append(job.id)
        try:
            while not self.away:
                text = json.dumps(job.answer() | {"created_at": ""})
                if text != told and not (told and self.silent):
                    told = text
                    yield f"event: job\ndata: {json.dumps(job.answer())}\n\n"
                if (job.state != "processing" or job.gone) and not self.silent:
                    return
                await asyncio.sleep(0.1)
        finally:
            self.streams.remove(job.id)

    async def window(self, request: Request) -> Response:
        job, query = self._find(request), request.query_params
        if job is None:
            return JSONResponse({"detail": "Job not found"}, 404)
        names = query["tracks"].split(",")
        start = round(float(query["start"]) * RATE)
        end = min([start + round(float(query["seconds"]) * RATE), *(job.final[n] for n in names)])
        frames = np.stack([job.tracks[name][start:max(start, end)] for name in names], axis=1)
        headers = {"X-Start-Frame": str(start), "X-Frames": str(len(frames))}
        return Response(frames.astype("<i2").tobytes(), headers=headers)

    async def peaks(self, request: Request) -> Response:
        job = self._find(request)
        if job is None:
            return JSONResponse({"detail": "Job not found"}, 404)
        since = int(request.query_params.get("since", 0))
        tracks = {
            name: {"final_frames": final,
                   "zooms": [pairs(job, name, zoom, since) for zoom in ZOOMS]}
            for name, final in job.final.items()
        }  # fmt: skip
        return JSONResponse({"sample_rate": RATE, "total_frames": job.total, "tracks": tracks})

    async def mix(self, request: Request) -> Response:
        return self._file(f"mix.{request.query_params['format']}")

    async def download(self, request: Request) -> Response:
        return self._file(f"{request.path_params['name']}.wav")

    def _file(self, name: str) -> Response:
        headers = {"Content-Disposition": attachment(name)}
        if not self.held:
            return Response(b"RIFF", headers=headers)
        return StreamingResponse(self._halves(), headers=headers | {"Content-Length": "12000000"})

    async def _halves(self) -> AsyncIterator[bytes]:
        yield bytes(6_000_000)
        while self.held:
            await asyncio.sleep(0.02)
        if self.cut:
            raise ConnectionError("the line is dropped")
        yield bytes(6_000_000)

    async def _nothing(self) -> AsyncIterator[bytes]:
        raise ConnectionError("the line is dropped")
        yield b""

    def _find(self, request: Request) -> FakeJob | None:
        job = self.jobs.get(request.path_params["id"])
        return None if job is None or job.gone else job


def pairs(job: FakeJob, name: str, zoom: int, since: int) -> dict[str, Any]:
    """Minima and maxima from the pair that holds frame `since` to the last whole one."""
    first = since // zoom
    final = job.final[name]
    last = -(-final // zoom) if final == job.total else final // zoom
    mono = job.tracks[name][first * zoom:last * zoom, 0]
    if job.tracks[name].strides[0] == 0:  # one frame again and again: an hour in four bytes
        mono = np.zeros(0, np.int16)
        last = first = 0
    mono = np.pad(mono, (0, max(0, last - first) * zoom - len(mono))).reshape(-1, zoom)
    both = np.stack([mono.min(1, initial=0), mono.max(1, initial=0)], axis=1) / 32768 * 127
    data = base64.b64encode(np.round(both).astype(np.int8).tobytes()).decode()
    return {"frames_per_peak": zoom, "first_frame": first * zoom, "data": data}


def now() -> str:
    return datetime.fromtimestamp(time.time(), UTC).replace(tzinfo=None).isoformat()
