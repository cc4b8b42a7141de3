"""Every endpoint's answers against the documents' own examples, without a server."""

import pytest
from starlette.types import ASGIApp

from server.api.pipeline.wire import timestamp
from server.config import load
from server.errors import (
    AudioError,
    DiskFull,
    ModelError,
    ServerBusy,
    UnsupportedFormat,
)

from .fakes import TRACKS, FakeJobs, app_of, ask

SONG = {"file": ("song.wav", b"RIFF....")}


def pending(name: str, processor_type: str) -> dict[str, object]:
    return {
        "name": name,
        "processor_type": processor_type,
        "status": "pending",
        "started_at": None,
        "completed_at": None,
        "error": None,
        "duration_seconds": None,
    }


def test_health(app: ASGIApp, jobs: FakeJobs) -> None:
    answer = ask(app, "GET", "/health")
    assert answer.status_code == 200
    assert answer.json() == {"status": "healthy", "version": "1.0.0", "pipeline_stages": 4}
    jobs.health.ailments = ["No audio worker is ready"]
    answer = ask(app, "GET", "/health")
    assert answer.status_code == 503
    assert answer.json() == {"status": "degraded", "version": "1.0.0", "pipeline_stages": 4,
                             "problems": ["No audio worker is ready"]}


def test_ready_and_live_are_two_things(app: ASGIApp, jobs: FakeJobs) -> None:
    """Who is not ready gets no work; who is not live is replaced."""
    def answers() -> list[tuple[int, object]]:
        both = [ask(app, "GET", f"/health/{name}") for name in ("live", "ready")]
        return [(answer.status_code, answer.json()) for answer in both]

    well = [(200, {"status": "live"}), (200, {"status": "ready", "problems": []})]
    assert answers() == well
    jobs.health.ailments = ["x"]
    assert answers() == [well[0], (503, {"status": "unready", "problems": ["x"]})]
    jobs.health.alive = False
    assert answers()[0] == (503, {"status": "stuck"})


def test_config_holds_what_is_documented_and_more(jobs: FakeJobs) -> None:
    jobs.extra = {"devices": ["cpu"], "max_file_size_mb": "what the jobs room says does not win"}
    answer = ask(app_of(load(environ={}), jobs), "GET", "/config")
    body = answer.json()
    assert answer.text.startswith('{"devices":["cpu"],"max_file_size_mb":500,')
    assert body["supported_formats"][:4] == ["wav", "mp3", "flac", "ogg"]
    assert body["pipeline_stages"] == [
        {"name": "audio_separation", "processor_type": "separator"},
        {"name": "harmonic_percussive_separation", "processor_type": "decomposition"},
        {"name": "composite_track_creation", "processor_type": "composition"},
        {"name": "normalization", "processor_type": "audio_processing"},
    ]


@pytest.mark.parametrize(("auth", "headers", "told"), [
    ("none", {}, True), ("api_key", {}, False), ("api_key", {"X-API-Key": "bad"}, False),
    ("api_key", {"X-API-Key": "good"}, True),
])  # fmt: skip
def test_strangers_do_not_hear_how_busy_the_workers_are(
    jobs: FakeJobs, auth: str, headers: dict[str, str], told: bool
) -> None:
    worker = {"worker": "audio/0", "pool": "audio", "device": "cpu"}
    more = {"running": 1, "confined": [], "not_confined": []}
    jobs.extra = {"workers": [worker | more], "devices": ["cpu"]}
    app = app_of(load(environ={}, flags={"pipeline.auth": auth}), jobs)
    answer = ask(app, "GET", "/config", headers=headers)
    assert answer.status_code == 200 and answer.json()["devices"] == ["cpu"]
    assert answer.json()["workers"] == [worker | more if told else worker]


def test_config_lists_the_models(app: ASGIApp) -> None:
    """What may be asked for, of which model."""
    drumsep, starter, both = ask(app, "GET", "/config").json()["installed_models"]
    assert drumsep == {"name": "drumsep", "family": "mdx23c", "stems": ["kick", "snare"],
                       "size_bytes": 1000, "licence": None, "tiers": [],
                       "seconds_per_second": None, "parts": []}
    assert (starter["licence"], starter["seconds_per_second"]) == ("MIT", 0.125)
    assert both["parts"] == [{"name": "drumsep", "size_bytes": 1000, "licence": None},
                             {"name": "starter", "size_bytes": 2000, "licence": "MIT"}]


@pytest.mark.parametrize(("text", "stems"), [
    ("kick,snare", ("kick", "snare")), (" kick , kick ", ("kick",)), ("", None), ("  ", None),
    ('["kick", "snare"]', ("kick", "snare")),
])  # fmt: skip
def test_stems_by_name(
    text: str, stems: tuple[str, ...] | None, app: ASGIApp, jobs: FakeJobs
) -> None:
    answer = ask(app, "POST", "/process", files=SONG, data={"stems": text, "model": "drumsep"})
    assert answer.status_code == 200
    (upload,) = jobs.uploads
    assert (upload.stems, upload.model) == (stems, "drumsep")


@pytest.mark.parametrize("text", ["Kick", "main", "a,,b", ",", "[]", "[1]", "[", "../x", "a" * 65])
def test_stems_that_are_no_names(text: str, app: ASGIApp, jobs: FakeJobs) -> None:
    answer = ask(app, "POST", "/process", files=SONG, data={"stems": text})
    assert answer.status_code == 400 and "stems" in answer.json()["detail"]
    assert not jobs.uploads and not jobs.spooled(), "nothing is left of it"


def test_a_form_with_a_field_for_each_stem(app: ASGIApp, jobs: FakeJobs) -> None:
    stems = {"stems": ["vocals", " drums,bass"]}
    assert ask(app, "POST", "/process", files=SONG, data=stems).status_code == 200
    assert jobs.uploads[-1].stems == ("vocals", "drums", "bass")


@pytest.mark.parametrize("name", ["model", "callback_url"])
def test_what_can_be_one_thing_alone_comes_once(name: str, app: ASGIApp, jobs: FakeJobs) -> None:
    answer = ask(app, "POST", "/process", files=SONG, data={name: ["https://a.example", "b"]})
    assert (answer.status_code, answer.json()["detail"]) == (400, f"{name} must be given once")
    assert not jobs.uploads and not jobs.spooled()


def test_a_content_type_that_is_too_long_is_not_read(app: ASGIApp, jobs: FakeJobs) -> None:
    kind = 'multipart/form-data; boundary="B"'.ljust(1025, ";")
    answer = ask(app, "POST", "/process", content=b"", headers={"Content-Type": kind})
    assert answer.status_code == 400 and "1024 characters" in answer.json()["detail"]
    kind = f"multipart/form-data; boundary=B; x={'x' * 900}"
    part = b'Content-Disposition: form-data; name="file"; filename="a.wav"'
    body = b"--B\r\n%b\r\n\r\nx\r\n--B--\r\n" % part
    answer = ask(app, "POST", "/process", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 200 and len(jobs.uploads) == 1


def test_process_answers_the_documented_job(app: ASGIApp, jobs: FakeJobs) -> None:
    answer = ask(app, "POST", "/process", files=SONG)
    assert answer.status_code == 200
    (upload,) = jobs.uploads
    assert answer.json() == {
        "job_id": upload.job_id,
        "status": "processing",
        "created_at": "2024-01-15T10:30:45.123456",
        "stages": [
            {
                **pending("audio_separation", "separator"),
                "status": "processing",
                "started_at": "2024-01-15T10:30:46.123456",
            },
            pending("harmonic_percussive_separation", "decomposition"),
            pending("composite_track_creation", "composition"),
            pending("normalization", "audio_processing"),
        ],
        "outputs": {},
    }
    assert (upload.folder / "input").read_bytes() == b"RIFF...."
    assert (upload.file_name, upload.size_bytes) == ("song.wav", 8)


def test_job_and_outputs(app: ASGIApp, jobs: FakeJobs) -> None:
    view = jobs.finished()
    body = ask(app, "GET", f"/job/{view.id}").json()
    assert list(body)[:5] == ["job_id", "status", "created_at", "stages", "outputs"]
    assert {name: body[name] for name in list(body)[5:]} == {
        "progress": 42, "tracks": ["vocals", "mix"], "expires_at": "2024-01-15T10:30:45.123456",
        "input": {"file_name": "song.wav", "duration_seconds": 12.5},
        "listen": {"final_frames": 44100, "total_frames": 551250,
                   "tracks": {"vocals": 44100, "mix": 551250}},
        "queue": {"position": 0}, "eta_seconds": 30, "error": None,
    }  # fmt: skip
    assert (body["job_id"], body["status"]) == (view.id, "completed")
    assert body["stages"][0] == {
        "name": "audio_separation",
        "processor_type": "separator",
        "status": "completed",
        "started_at": "2024-01-15T10:30:46.123456",
        "completed_at": "2024-01-15T10:35:32.654456",
        "error": None,
        "duration_seconds": 286.531,
    }
    assert list(body["outputs"]) == [name for name, _ in TRACKS]
    for name, folder in TRACKS:
        assert body["outputs"][name] == f"{jobs.root}/outputs/{view.id}/{folder}/{name}.wav"
    assert ask(app, "GET", f"/job/{view.id}/outputs").json() == body["outputs"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1705314645.123456, "2024-01-15T10:30:45.123456"),
        (1705314645.0, "2024-01-15T10:30:45.000000"),
        (0.5, "1970-01-01T00:00:00.500000"),
    ],
)
def test_timestamps_have_six_digits(seconds: float, text: str) -> None:
    assert timestamp(seconds) == text


@pytest.mark.parametrize(
    "path", ["/job/{}", "/job/{}/outputs", "/download/{}/vocals", "/download/{}/all"]
)
@pytest.mark.parametrize("job_id", ["a1b2c3d4-e5f6-g7h8-i9j0-k1l2m3n4o5p6", "x", "%00", "é" * 99])
def test_unknown_job(app: ASGIApp, path: str, job_id: str) -> None:
    answer = ask(app, "GET", path.format(job_id))
    assert (answer.status_code, answer.json()) == (404, {"detail": "Job not found"})


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        (UnsupportedFormat("Unsupported audio format: .aac"), 400, None),
        (AudioError("The file is damaged"), 400, None),
        (ServerBusy("Too many jobs wait", retry_after=17), 503, None),
        (DiskFull("The disk is full"), 507, None),
        (ModelError("No model is on this machine"), 500, None),
        (ValueError("secret path /srv/data"), 500, "Internal server error"),
    ],
)
@pytest.mark.parametrize("step", ["reserve_error", "submit_error"])
def test_errors_of_the_jobs_room(
    app: ASGIApp, jobs: FakeJobs, step: str, error: Exception, status: int, detail: str | None
) -> None:
    setattr(jobs, step, error)
    answer = ask(app, "POST", "/process", files=SONG)
    assert answer.status_code == status
    assert answer.json() == {"detail": detail or str(error)}
    assert answer.headers.get("retry-after") == {503: "17", 507: "300"}.get(status)
    assert answer.headers["x-request-id"]
    assert jobs.spooled() == []


def test_routes_that_do_not_exist(app: ASGIApp) -> None:
    for path in ("/index.html", "/nothing", "/health/", "/job", "/predict", "/download/x"):
        answer = ask(app, "GET", path)
        assert (answer.status_code, answer.json()) == (404, {"detail": "Not found"})


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/process", "POST"),
        ("POST", "/health", "GET, HEAD"),
        ("POST", "/job/x", "DELETE, GET, HEAD"),
        ("OPTIONS", "/config", "GET, HEAD"),
    ],
)
def test_methods_that_do_not_exist(app: ASGIApp, method: str, path: str, allowed: str) -> None:
    answer = ask(app, method, path)
    assert (answer.status_code, answer.json()) == (405, {"detail": "Method not allowed"})
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize(("headers", "status"), [
    ({}, 401), ({"X-API-Key": "bad"}, 401), ({"X-API-Key": "good"}, 404),
    ({"Authorization": "Bearer good"}, 404), ({"Authorization": "Basic good"}, 401),
])
def test_with_keys_a_job_is_for_its_account_alone(
    jobs: FakeJobs, headers: dict[str, str], status: int
) -> None:
    app = app_of(load(environ={}, flags={"pipeline.auth": "api_key"}), jobs)
    for path in ("/job/x", "/job/x/outputs", "/download/x/all", "/download/x/vocals"):
        assert ask(app, "GET", path, headers=headers).status_code == status
    assert ask(app, "GET", "/health").status_code == 200


def test_a_limit_by_address(jobs: FakeJobs) -> None:
    app = app_of(load(environ={}, flags={"pipeline.requests_per_minute": 3}), jobs)
    answers = [ask(app, "GET", "/config") for _ in range(5)]
    assert [a.status_code for a in answers] == [200, 200, 200, 429, 429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60
    assert answers[-1].json()["detail"].startswith("Rate limit exceeded")
    assert {a.headers["ratelimit-policy"] for a in answers} == {'"address";q=3;w=60'}
    left = [a.headers["ratelimit"].partition(";t=")[0] for a in answers]
    assert left == [f'"address";r={number}' for number in (2, 1, 0, 0, 0)]
    assert answers[-1].headers["ratelimit"].endswith(f";t={answers[-1].headers['retry-after']}")
    assert ask(app, "GET", "/health").status_code == 200
