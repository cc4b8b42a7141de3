"""The StemSplit API on a real server, by its published client and by plain requests."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
import soundfile as sf
import standardwebhooks
import stemsplit_python
from stemsplit_python import StemSplit
from stemsplit_python import webhooks as published

from tests.e2e.calling import LIMIT, Caller, command, error, new_key
from tests.harness import Server, wait_for
from tests.receiver import receiving

STEMS = {
    "VOCALS": {"vocals"}, "INSTRUMENTAL": {"instrumental"}, "BOTH": {"vocals", "instrumental"},
    "FOUR_STEMS": {"vocals", "drums", "bass", "other"},
    "SIX_STEMS": {"vocals", "drums", "bass", "other", "guitar", "piano"},
}  # fmt: skip


def test_the_published_client_goes_through_all_its_resources(
    box: Server, songs: dict[str, Path], tmp_path: Path
) -> None:
    with receiving() as receiver, StemSplit(
        api_key=new_key(box, "partner", 1), base_url=f"{box.url}/api/v1"
    ) as client:
        assert client.account.balance().balance_formatted == "1 minute"
        hook = client.webhooks.create(url=f"{receiver.url}/hook")
        assert client.webhooks.list()[0].id == hook.id
        assert client.webhooks.list()[0].secret is None

        handle = client.jobs.create(audio=songs["mp3"], output_type="BOTH",
                                    metadata={"order": 7}, idempotency_key="one")
        assert handle.status == "PENDING"
        assert handle.job.credits_required == 6
        progress = [job.progress for job in handle.iter_progress(poll_interval=0.1, timeout=240)]
        assert progress == sorted(progress)
        job = handle.job
        assert (job.status, job.progress, job.credits_charged) == ("COMPLETED", 100, 6)
        assert job.metadata == {"order": 7}
        assert set(handle.download_all(tmp_path)) == {"vocals", "instrumental"}
        for name in ("vocals.mp3", "instrumental.mp3"):
            assert sf.info(tmp_path / name).frames > 5 * 44100
        assert client.account.get().balance_seconds == 54
        assert [j.id for j in client.jobs.list(status="COMPLETED")] == [job.id]
        assert [j.id for j in client.jobs.iter_all(page_size=1)] == [job.id]
        assert client.jobs.get(job.id).job.audio_metadata is not None
        assert client.last_rate_limit.limit == LIMIT

        got = wait_for(lambda: receiver.got)[0]
        event = published.verify_and_parse(
            payload=got.body, signature=got.headers["X-Webhook-Signature"], secret=hook.secret)
        assert (event.event, event.data.job_id) == ("job.completed", job.id)
        assert set(event.data.outputs.as_dict()) == {"vocals", "instrumental"}
        standard = {k.lower(): v for k, v in got.headers.items()}
        standardwebhooks.Webhook(hook.secret).verify(got.body, standard)
        assert httpx.get(event.data.outputs.vocals.url).status_code == 200
        called = wait_for(lambda: client.webhooks.list()[0].last_called_at)
        assert called is not None
        assert client.webhooks.delete(hook.id)
        assert client.webhooks.list() == []
        with pytest.raises(stemsplit_python.NotFoundError):
            client.jobs.get("nobody's")
        sf.write(tmp_path / "silence.flac", np.zeros(57 * 8000), 8000)
        with pytest.raises(stemsplit_python.InsufficientCreditsError) as refused:
            client.jobs.create(audio=tmp_path / "silence.flac", output_type="VOCALS")
        assert refused.value.required_seconds == 57
        assert refused.value.purchase_url == "https://example.com/buy"


@pytest.mark.parametrize("kind", sorted(STEMS))
def test_every_output_type(ann: Caller, songs: dict[str, Path], kind: str) -> None:
    job = ann.create(uploadKey=ann.upload(songs["wav"]), outputType=kind, quality="FAST",
                     outputFormat="FLAC").json()
    assert job["options"] == {"outputType": kind, "quality": "FAST", "outputFormat": "FLAC",
                              "model": "starter" if kind == "SIX_STEMS" else "starter_fast"}
    done = ann.end_of(job["id"])
    assert (done["status"], set(done["outputs"])) == ("COMPLETED", STEMS[kind])


def test_a_download_is_named_after_the_song_and_is_what_was_written(
    box: Server, ann: Caller, songs: dict[str, Path]
) -> None:
    upload = ann.upload(songs["wav"], "Bj\u00f6rk: J\u00f3ga.wav")
    job = ann.create(uploadKey=upload, outputType="VOCALS", quality="FAST").json()
    url = ann.end_of(job["id"])["outputs"]["vocals"]["url"]
    assert urlsplit(url).path.endswith("/vocals.mp3")
    for method in ("GET", "HEAD"):
        answer = httpx.request(method, url)
        assert answer.headers["content-disposition"] == (
            'attachment; filename="Bjork_ Joga - vocals.mp3"; '
            "filename*=UTF-8''Bj%C3%B6rk_%20J%C3%B3ga%20-%20vocals.mp3")
    file = box.data / "outputs" / job["id"] / "vocals.mp3"
    os.truncate(file, file.stat().st_size - 1)
    assert error(httpx.get(url)) == (500, "INTERNAL_ERROR")
    file.unlink()
    assert error(httpx.get(url)) == (404, "NOT_FOUND")


def test_stems_of_a_loud_song_add_up_and_do_not_clip(
    ann: Caller, songs: dict[str, Path], tmp_path: Path
) -> None:
    mix, rate = sf.read(songs["wav"])
    loud = np.clip(6 * mix, -1, 1)
    sf.write(tmp_path / "loud.wav", loud, rate)
    job = ann.create(uploadKey=ann.upload(tmp_path / "loud.wav"), outputType="BOTH",
                     outputFormat="WAV").json()
    stems = []
    for name, output in ann.end_of(job["id"])["outputs"].items():
        (tmp_path / f"{name}.wav").write_bytes(httpx.get(output["url"]).content)
        stems.append(sf.read(tmp_path / f"{name}.wav")[0])
    total = np.sum(stems, axis=0)
    gain = float(np.vdot(total, loud) / np.vdot(loud, loud))
    assert gain <= 1.0 + 1e-6
    assert np.abs(total - gain * loud).max() < 2 / 32768
    assert max(np.abs(stem).max() for stem in stems) <= 1.0


def test_wrong_requests(ann: Caller, songs: dict[str, Path]) -> None:
    key = ann.upload(songs["wav"])
    assert error(ann.create()) == (400, "INVALID_REQUEST")
    assert error(ann.create(uploadKey=key, sourceUrl="http://x")) == (400, "INVALID_REQUEST")
    assert error(ann.create(uploadKey=key, outputType="DRUMS")) == (400, "INVALID_REQUEST")
    assert error(ann.create(uploadKey=key, metadata=[1])) == (400, "INVALID_REQUEST")
    deep: dict = {}
    for _ in range(40):
        deep = {"a": [deep]}
    assert error(ann.create(uploadKey=key, metadata=deep)) == (400, "INVALID_REQUEST")
    assert error(ann.create(uploadKey=key, callbackUrl="http://10.0.0.1/")) == (
        400, "INVALID_REQUEST")
    assert error(ann.http.post("/webhooks", json={"url": "http://10.0.0.1/"})) == (
        400, "INVALID_REQUEST")
    assert "close" not in ann.http.get("/jobs").headers.get("connection", "")
    assert error(ann.create(uploadKey=key + "x")) == (400, "UPLOAD_NOT_FOUND")
    assert error(ann.create(uploadKey="nonsense")) == (400, "UPLOAD_NOT_FOUND")
    for bad in ("limit=101", "limit=0", "limit=x", "offset=-1", "status=DONE"):
        assert error(ann.http.get(f"/jobs?{bad}")) == (400, "INVALID_REQUEST")
    assert error(ann.http.post("/jobs", content=b"{")) == (400, "INVALID_REQUEST")
    assert error(ann.http.get("/nothing")) == (404, "NOT_FOUND")
    wrong = ann.http.put("/jobs")
    assert error(wrong) == (405, "METHOD_NOT_ALLOWED")
    assert set(wrong.headers["allow"].split(", ")) >= {"GET", "POST"}
    for answer in (ann.http.get("/nothing"), wrong, ann.create()):
        assert answer.headers["x-ratelimit-limit"] == str(LIMIT)
        assert int(answer.headers["retry-after"]) > 0
        assert answer.headers["x-request-id"]


def test_bad_audio(ann: Caller, tmp_path: Path) -> None:
    before = ann.balance()
    for seconds, code in ((0.5, "AUDIO_TOO_SHORT"), (61, "AUDIO_TOO_LONG")):
        sf.write(tmp_path / "x.flac", np.zeros(int(seconds * 8000)), 8000)
        assert error(ann.create(uploadKey=ann.upload(tmp_path / "x.flac"))) == (400, code)
    assert error(ann.create(uploadKey=ann.upload(b"no sound"))) == (400, "UNSUPPORTED_FORMAT")
    assert ann.balance() == before


def test_what_was_lost_of_a_source_is_told(ann: Caller, songs: dict[str, Path]) -> None:
    flac = songs["flac"].read_bytes()
    key = ann.upload(flac[: len(flac) // 2], "song.flac")
    made = ann.create(uploadKey=key, outputType="VOCALS")
    assert made.status_code == 201, made.text
    assert made.json()["input"].keys() == {"fileName", "durationSeconds", "fileSizeBytes"}
    source = ann.end_of(made.json()["id"])["input"]
    assert (source["format"], source["codec"], source["track"]) == ("flac", "FLAC", None)
    assert any(text.startswith("The file ends early: it holds ") for text in source["warnings"])


def test_source_urls(ann: Caller, songs: dict[str, Path]) -> None:
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(songs["wav"].parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as files:
        threading.Thread(target=files.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{files.server_port}"
        job = ann.create(sourceUrl=f"{base}/short.flac", outputType="VOCALS").json()
        assert (job["input"]["fileName"], job["input"]["durationSeconds"]) == ("short.flac", 6)
        assert error(ann.create(sourceUrl=f"{base}/nothing")) == (400, "SOURCE_URL_UNREACHABLE")
        files.shutdown()
    for bad in ("http://10.0.0.1/x", "http://[::1]/x", "http://169.254.169.254/", "file:///etc",
                "http://[", "nonsense"):
        assert error(ann.create(sourceUrl=bad)) == (400, "SOURCE_URL_FORBIDDEN")
    assert ann.end_of(job["id"])["status"] == "COMPLETED"


def test_a_slow_source_is_settled_later(bob: Caller, songs: dict[str, Path]) -> None:
    release, asked = threading.Event(), []

    class Slow(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            release.wait(60)
            super().do_GET()

        def end_headers(self) -> None:
            self.send_header("Content-Disposition", "attachment; filename*=UTF-8''%C3%A9.wav")
            super().end_headers()

        def log_message(self, *_: object) -> None:
            pass

    handler = partial(Slow, directory=str(songs["wav"].parent))
    before = bob.balance()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as files:
        threading.Thread(target=files.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{files.server_port}/short.wav"
        job = bob.create(sourceUrl=url, outputType="VOCALS", quality="FAST").json()
        assert (job["status"], job["input"]["durationSeconds"], job["creditsRequired"]) == (
            "PENDING", 0, 0)
        assert bob.balance() == before
        release.set()
        done = bob.end_of(job["id"])
        files.shutdown()
    assert (done["status"], done["input"]["durationSeconds"], done["creditsCharged"]) == (
        "COMPLETED", 6, 6)
    assert (done["input"]["fileName"], asked) == ("é.wav", ["/short.wav"])


def test_the_callback_of_the_first_api(box: Server, songs: dict[str, Path]) -> None:
    secret = command(box, "keys", "secret")
    with receiving(lambda number: 500 if number == 0 else 204) as receiver:
        answer = httpx.post(
            f"{box.url}/process", files={"file": ("a.wav", songs["wav"].read_bytes())},
            data={"callback_url": f"{receiver.url}/done"}, timeout=60)
        job_id = answer.json()["job_id"]
        wait_for(lambda: len(receiver.got) == 2, 240)
        for got in receiver.got:
            manifest = json.loads(got.body)
            assert (manifest["job_id"], manifest["status"]) == (job_id, "completed")
            assert len(manifest["outputs"]) == 9
            assert published.verify_signature(
                got.body, got.headers["X-Webhook-Signature"], secret)
        first, second = (got.headers["X-Webhook-Id"] for got in receiver.got)
        assert first == second


def test_the_document_is_this_servers_own(box: Server) -> None:
    document = httpx.get(f"{box.url}/api/v1/openapi").json()
    assert document["openapi"] == "3.1.0"
    assert "/jobs/{id}" in document["paths"]


def test_a_song_comes_out_the_same_twice(ann: Caller, songs: dict[str, Path]) -> None:
    hashes = []
    for _ in range(2):
        job = ann.create(uploadKey=ann.upload(songs["wav"]), outputType="VOCALS",
                         quality="FAST").json()
        url = ann.end_of(job["id"])["outputs"]["vocals"]["url"]
        hashes.append(hashlib.sha256(httpx.get(url).content).hexdigest())
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize(
    ("document", "base"), [("/api/v1/openapi", "/api/v1"), ("/openapi.json", "")])
def test_every_answer_is_as_the_document_says(
    box: Server, ann: Caller, tmp_path: Path, document: str, base: str
) -> None:
    """C1: schemathesis, all checks, on the documents of both APIs."""
    done = subprocess.run(
        [Path(sys.executable).with_name("schemathesis"),
         "--config-file", Path(__file__).with_name("schemathesis.toml"),
         "run", box.url + document, "--url", box.url + base, "--checks", "all",
         "--header", f"Authorization: Bearer {ann.key}", "--max-examples", "20", "--seed", "1",
         "--generation-database", "none", "--no-color"],
        capture_output=True, text=True, timeout=250, cwd=tmp_path)
    # The songs that it has posted would keep the server from what others ask of it.
    for (job,) in box.rows("SELECT id FROM jobs WHERE api = 'pipeline' AND state = 'processing'"):
        httpx.delete(f"{box.url}/job/{job}")
    assert done.returncode == 0, done.stdout[-4000:]
