"""Windows and peaks over HTTP: what the parameters mean, what is refused, what the headers say."""

import asyncio
import base64
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.requests import Request
from starlette.types import ASGIApp

from server.api.listening import windows as module
from server.api.ports import TrackPeaks
from server.audio.peaks import COARSE, FINE, coarser
from server.config import Config
from server.errors import JobNotFound, ServerBusy
from server.jobs.listening.listening import Window
from server.jobs.listening.track_places import OpenTrack

from .fakes import FakeJobs, ask, fake_services

FRAMES = 100_000
SOUND = np.random.default_rng(1).uniform(-1.2, 1.2, (2, FRAMES, 2)).astype(np.float32)
PAIRS = np.random.default_rng(2).integers(-127, 128, (FRAMES // FINE + 1, 2)).astype(np.int8)


class Sound:
    def __init__(self, samples: np.ndarray) -> None:
        self.frames, self.samples, self.closed = len(samples), samples, 0

    def read(self, start: int, count: int) -> np.ndarray:
        if start + count > len(self.samples):
            raise EOFError("cut")
        return self.samples[start : start + count]

    def close(self) -> None:
        self.closed += 1


class FakeListening:
    """Two tracks, `a` and `b`; the second is not finished."""

    def __init__(self) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self.threads = ThreadPoolExecutor(1)
        self.sounds = {"a": Sound(SOUND[0]), "b": Sound(SOUND[1][:90_000])}
        self.finished = {"a": True, "b": False}
        self.open = 0
        self.busy = self.gone_job = False
        self.peaked = ["a"]

    async def window(
        self, job_id: str, names: Sequence[str], start: int, count: int, caller: str
    ) -> Window | None:
        if self.busy:
            raise ServerBusy("Too many windows are being sent", retry_after=1)
        if not set(names) <= set(self.sounds):
            return None
        self.open += 1
        tracks = [OpenTrack(self.sounds[name], self.finished[name]) for name in names]
        return Window(tracks, start, count, FRAMES, self.threads, self.gone)

    async def peaks(self, job_id: str, since: int) -> tuple[int, dict[str, TrackPeaks]]:
        if self.gone_job:
            raise JobNotFound("Job not found")
        first = since // FINE
        return FRAMES, {name: TrackPeaks(FRAMES, first, PAIRS[first:]) for name in self.peaked}

    def gone(self) -> None:
        self.open -= 1


@pytest.fixture
def listening() -> FakeListening:
    return FakeListening()


@pytest.fixture
def app(config: Config, jobs: FakeJobs, listening: FakeListening) -> ASGIApp:
    from server.api import create_app
    from server.api.signing import Signer

    services = fake_services()._replace(listening=listening)
    return create_app(config, jobs, services, Signer(b"s" * 32))


@pytest.fixture
def job(jobs: FakeJobs) -> str:
    return jobs.finished().id


def window(app: ASGIApp, job: str, method: str = "GET", **parameters: Any) -> httpx.Response:
    return ask(app, method, f"/job/{job}/window", params={"tracks": "a"} | parameters)


def test_frames_are_interleaved_by_track_and_channel(
    app: ASGIApp, job: str, listening: FakeListening
) -> None:
    answer = window(app, job, tracks="b,a", start=0.5, seconds=1)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/octet-stream"
    found = np.frombuffer(answer.content, "<f4").reshape(-1, 2, 2)
    expected = np.stack([SOUND[1][22_050:66_150], SOUND[0][22_050:66_150]], axis=1)
    assert np.array_equal(found, expected)
    told = {name: answer.headers[name] for name in (
        "x-sample-rate", "x-start-frame", "x-frames", "x-tracks", "x-final-frames",
        "x-total-frames", "cache-control", "content-length")}
    assert told == {
        "x-sample-rate": "44100", "x-start-frame": "22050", "x-frames": "44100",
        "x-tracks": "b,a", "x-final-frames": "90000,100000", "x-total-frames": "100000",
        "cache-control": "no-store", "content-length": str(44100 * 2 * 2 * 4)}
    assert listening.open == 0
    assert [sound.closed for sound in listening.sounds.values()] == [1, 1]


def test_integers_are_rounded_and_clipped(app: ASGIApp, job: str) -> None:
    answer = window(app, job, seconds=0.1, format="s16")
    expected = np.rint(SOUND[0][:4410] * 32768.0).clip(-32768, 32767)
    assert np.array_equal(np.frombuffer(answer.content, "<i2").reshape(-1, 2), expected)
    assert answer.headers["cache-control"] == "private, max-age=3600"


def test_less_is_sent_where_less_is_final(app: ASGIApp, job: str) -> None:
    answer = window(app, job, tracks="a,b", start=2, seconds=10)
    assert answer.headers["x-frames"] == "1800"
    assert len(answer.content) == 1800 * 16
    answer = window(app, job, tracks="b", start=9e5)
    assert (answer.status_code, answer.headers["x-frames"], answer.content) == (200, "0", b"")


def test_head_tells_the_same_and_reads_nothing(
    app: ASGIApp, job: str, listening: FakeListening
) -> None:
    listening.sounds["a"].samples = SOUND[0][:0]
    answer = window(app, job, "HEAD", seconds=1)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(44100 * 8)
    assert listening.open == 0


@pytest.mark.parametrize(("parameters", "sentence"), [
    ({"tracks": ""}, "tracks must name one to 40 tracks, separated by commas"),
    ({"tracks": ",".join(f"t{n}" for n in range(41))},
     "tracks must name one to 40 tracks, separated by commas"),
    ({"tracks": "a,b,a"}, "tracks must name each track once"),
    ({"start": "-1"}, "start must be a number from 0 to 1e+06"),
    ({"start": "nan"}, "start must be a number from 0 to 1e+06"),
    ({"start": "inf"}, "start must be a number from 0 to 1e+06"),
    ({"start": "1_0"}, "start must be a number from 0 to 1e+06"),
    ({"start": "\u0661"}, "start must be a number from 0 to 1e+06"),
    ({"seconds": "0"}, "seconds must be a number from 0.001 to 10"),
    ({"seconds": "10.01"}, "seconds must be a number from 0.001 to 10"),
    ({"seconds": "two"}, "seconds must be a number from 0.001 to 10"),
    ({"start": ""}, "start must be a number from 0 to 1e+06"),
    ({"start": ["1", "2"]}, "start must be given once"),
    ({"tracks": ["a", "b"]}, "tracks must be given once"),
    ({"format": "f64"}, "format must be one of f32, s16"),
])  # fmt: skip
def test_bad_parameters(app: ASGIApp, job: str, parameters: Any, sentence: str) -> None:
    answer = window(app, job, **parameters)
    assert (answer.status_code, answer.json()) == (400, {"detail": sentence})


def test_unknown_tracks_and_jobs(app: ASGIApp, job: str, listening: FakeListening) -> None:
    answer = window(app, job, tracks="a,nope")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Track not found"})
    for path in ("window?tracks=a", "peaks", "events"):
        answer = ask(app, "GET", f"/job/nope/{path}")
        assert (answer.status_code, answer.json()) == (404, {"detail": "Job not found"})
    listening.busy = True
    answer = window(app, job)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_a_file_that_is_cut_meanwhile_cuts_the_answer(
    client: httpx.Client, job: str, listening: FakeListening
) -> None:
    listening.sounds["a"].samples = SOUND[0][:50_000]
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(f"/job/{job}/window?tracks=a&start=1&seconds=10")
    assert listening.open == 0


def test_a_client_that_goes_frees_the_window(
    client: httpx.Client, job: str, listening: FakeListening
) -> None:
    from .fakes import wait_until

    with client.stream("GET", f"/job/{job}/window?tracks=a&seconds=2") as answer:
        next(answer.iter_bytes(1000))
    client.close()
    wait_until(lambda: listening.open == 0)


def test_peaks(app: ASGIApp, job: str) -> None:
    answer = ask(app, "GET", f"/job/{job}/peaks").json()
    assert (answer["sample_rate"], answer["total_frames"]) == (44100, FRAMES)
    track = answer["tracks"]["a"]
    assert track["final_frames"] == FRAMES
    fine, coarse = track["zooms"]
    assert (fine["frames_per_peak"], coarse["frames_per_peak"]) == (512, 8192)
    assert base64.b64decode(fine["data"]) == PAIRS.tobytes()
    assert base64.b64decode(coarse["data"]) == coarser(PAIRS).tobytes()


@pytest.mark.parametrize("since", [0, 511, 512, 8191, 8192, 70_000, FRAMES, 10**9])
@pytest.mark.parametrize("zoom", ["fine", "coarse"])
def test_peaks_since_a_frame(app: ASGIApp, job: str, since: int, zoom: str) -> None:
    answer = ask(app, "GET", f"/job/{job}/peaks?zoom={zoom}&since={since}").json()
    (found,) = answer["tracks"]["a"]["zooms"]
    length, pairs = (FINE, PAIRS) if zoom == "fine" else (COARSE, coarser(PAIRS))
    assert found["first_frame"] == since // length * length
    assert base64.b64decode(found["data"]) == pairs[since // length :].tobytes()


def test_peaks_of_several_tracks_and_of_none(
    app: ASGIApp, job: str, listening: FakeListening
) -> None:
    listening.peaked = ["a", "b", 'c"']
    tracks = ask(app, "GET", f"/job/{job}/peaks").json()["tracks"]
    assert list(tracks) == listening.peaked
    assert tracks["a"] == tracks["b"] == tracks['c"']
    listening.peaked = []
    answer = ask(app, "GET", f"/job/{job}/peaks")
    assert answer.json() == {"sample_rate": 44100, "total_frames": FRAMES, "tracks": {}}
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"


def test_peaks_that_nobody_reads_leave_some_for_others(
    listening: FakeListening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_PEAKS", 4)
    listen = module.Listen(listening)

    async def main() -> None:
        never = asyncio.Event()

        async def unread(message: object) -> None:
            await never.wait()

        async def ask(host: str) -> asyncio.Task[None]:
            scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"",
                     "headers": [], "client": (host, 1), "asgi": {"spec_version": "2.4"}}
            response = await listen.peaks(Request(scope), "j")
            sending = asyncio.create_task(response(scope, never.wait, unread))
            await asyncio.sleep(0)
            return sending

        greedy = [await ask("10.0.0.1") for _ in range(2)]
        with pytest.raises(ServerBusy):
            await ask("10.0.0.1")
        other = await ask("10.0.0.2")
        listening.gone_job = True
        for _ in range(3):
            with pytest.raises(JobNotFound):
                await ask("10.0.0.3")
        listening.gone_job = False
        greedy[0].cancel()
        await asyncio.gather(greedy[0], return_exceptions=True)
        for sending in (greedy[1], other, await ask("10.0.0.1")):
            sending.cancel()

    asyncio.run(main())


@pytest.mark.parametrize("query", ["zoom=huge", "since=-1", "since=x", "since=1e99"])
def test_bad_parameters_of_peaks(app: ASGIApp, job: str, query: str) -> None:
    assert ask(app, "GET", f"/job/{job}/peaks?{query}").status_code == 400


def test_deleting(app: ASGIApp, job: str) -> None:
    answer = ask(app, "DELETE", f"/job/{job}")
    assert (answer.status_code, answer.json()) == (200, {"job_id": job, "deleted": True})
    for method in ("DELETE", "GET"):
        assert ask(app, method, f"/job/{job}").status_code == 404


def test_what_browsers_may_read(config: Config, jobs: FakeJobs, job: str, app: ASGIApp) -> None:
    answer = ask(app, "GET", f"/job/{job}/window?tracks=a", headers={"Origin": "http://other"})
    exposed = answer.headers["access-control-expose-headers"]
    assert {"X-Frames", "X-Final-Frames", "X-Total-Frames"} <= set(exposed.split(", "))
