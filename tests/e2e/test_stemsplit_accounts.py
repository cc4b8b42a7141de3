"""Accounts of the StemSplit API on a real server: keys, credits, and whose a thing is."""

import concurrent.futures
import json
from functools import partial
from pathlib import Path

import httpx

from tests.e2e.calling import Caller, command, error, new_key
from tests.harness import Server, wait_for


def test_keys(box: Server, ann: Caller) -> None:
    url = f"{box.url}/api/v1/balance"
    assert error(httpx.get(url)) == (401, "MISSING_API_KEY")
    for bad in ("sk_live_nonsense", ann.key[:-1] + ("a" if ann.key[-1] != "a" else "b")):
        answer = httpx.get(url, headers={"Authorization": f"Bearer {bad}"})
        assert error(answer) == (401, "INVALID_API_KEY")
    key = new_key(box, "eve")
    headers = {"Authorization": f"Bearer {key}"}
    assert httpx.get(url, headers=headers).status_code == 200
    assert command(box, "keys", "revoke", key[:16]) == "1 key(s) revoked"
    assert error(httpx.get(url, headers=headers)) == (403, "API_KEY_REVOKED")
    assert key[:16] in command(box, "keys", "list")
    assert key not in box.log.read_text()
    assert key.encode() not in b"".join(p.read_bytes() for p in box.data.glob("stembox.db*"))


def test_without_credits_no_work_is_done(box: Server, songs: dict[str, Path]) -> None:
    poor = Caller(box, new_key(box, "poor", 0))
    answer = poor.create(sourceUrl="http://127.0.0.1:9/x.wav")
    assert error(answer) == (402, "INSUFFICIENT_CREDITS")
    assert answer.json()["error"]["requiredSeconds"] == 1
    answer = poor.create(uploadKey=poor.upload(songs["wav"]), fileName="é" * 500 + ".wav")
    assert error(answer) == (402, "INSUFFICIENT_CREDITS")
    assert answer.json()["error"]["requiredSeconds"] == 6


def test_a_test_key_costs_nothing_and_fails_on_demand(
    box: Server, songs: dict[str, Path]
) -> None:
    key = command(box, "keys", "create", "--account", "trial", "--test")
    assert key.startswith("sk_test_")
    trial = Caller(box, key)
    upload = trial.upload(songs["wav"])
    good = trial.create(uploadKey=upload, outputType="VOCALS").json()
    assert (good["creditsRequired"], good["options"]["model"]) == (0, "starter")
    bad = trial.create(uploadKey=upload, metadata={"simulate": "failed"}).json()
    assert error(trial.create(uploadKey=upload, metadata={"simulate": "?"})) == (
        400, "INVALID_REQUEST")
    ended = trial.end_of(bad["id"])
    assert (ended["status"], ended["creditsCharged"], ended["outputs"]) == ("FAILED", 0, None)
    assert "metadata asked for it" in ended["errorMessage"]
    done = trial.end_of(good["id"])
    assert (done["status"], done["creditsCharged"]) == ("COMPLETED", 0)
    assert len(httpx.get(done["outputs"]["vocals"]["url"], timeout=60).content) > 1000
    assert trial.balance() == 0


def test_a_key_of_one_api_is_refused_by_the_other(box: Server) -> None:
    key = command(box, "keys", "create", "--account", "page", "--scopes", "pipeline")
    assert error(Caller(box, key).http.get("/balance")) == (403, "INSUFFICIENT_SCOPE")


def test_accounts_are_strangers(ann: Caller, bob: Caller, songs: dict[str, Path]) -> None:
    """K3: whatever is one account's is a 404 to the other."""
    upload = ann.upload(songs["wav"])
    job = ann.create(uploadKey=upload, outputType="VOCALS", quality="FAST").json()
    hook = ann.http.post("/webhooks", json={"url": "http://127.0.0.1:9/x"}).json()
    assert error(bob.http.get(f"/jobs/{job['id']}")) == (404, "JOB_NOT_FOUND")
    assert error(bob.http.delete(f"/jobs/{job['id']}")) == (404, "JOB_NOT_FOUND")
    assert error(bob.http.delete(f"/webhooks/{hook['id']}")) == (404, "WEBHOOK_NOT_FOUND")
    assert error(bob.create(uploadKey=upload)) == (400, "UPLOAD_NOT_FOUND")
    assert bob.http.get("/webhooks").json() == {"webhooks": []}
    assert bob.http.get("/jobs").json()["jobs"] == []
    assert ann.http.delete(f"/webhooks/{hook['id']}").json() == {"deleted": True}
    assert ann.end_of(job["id"])["status"] == "COMPLETED"


def test_signed_urls(ann: Caller, songs: dict[str, Path]) -> None:
    data = songs["mp3"].read_bytes()
    ticket = ann.http.post("/upload", json={"filename": "a.mp3"}).json()
    assert ticket["contentType"] == "audio/mpeg"
    put = partial(httpx.put, content=data, headers={"Content-Type": "audio/mpeg"})
    url = ticket["uploadUrl"]
    assert error(put(url[:-1] + ("A" if url[-1] != "A" else "B")))[0] == 403
    assert error(put(url, headers={"Content-Type": "text/html"}))[0] == 403
    assert error(put(url, content=bytes(ticket["maxFileSizeBytes"] + 1))) == (
        400, "FILE_TOO_LARGE")
    endless = iter([bytes(1 << 20)] * (ticket["maxFileSizeMb"] + 1))
    assert error(put(url, content=endless)) == (400, "FILE_TOO_LARGE")
    first = put(f"{url}&utm_source=a+b%2fc", headers={"Content-Type": "audio/wav"})
    assert first.status_code == 200
    job = ann.create(uploadKey=ticket["uploadKey"], outputType="VOCALS").json()
    assert job["input"]["fileName"] == "a.mp3"
    again = put(url)
    assert (again.status_code, again.json()) == (200, first.json())
    assert error(put(url, content=data[:-1])) == (409, "UPLOAD_ALREADY_USED")
    got = ann.end_of(job["id"])["outputs"]["vocals"]["url"]
    assert got.split("?")[0].endswith("/vocals.mp3")
    part = httpx.get(got, headers={"Range": "bytes=0-99"})
    assert (part.status_code, len(part.content)) == (206, 100)
    assert httpx.head(got).status_code == 200
    path, _, query = got.partition("?")
    turned = "&".join(query.split("&")[::-1])
    for other in (f"{path}?{turned}", f"{path}?_=1&{query}&x", got.replace("vocals", "%76ocals")):
        assert httpx.get(other, headers={"Range": "bytes=0-99"}).content == part.content
    for wrong in (got.replace("vocals.mp3", "drums.mp3"), f"{got}&expires=9999999999",
                  got.replace("expires=", "expires=9")):
        assert error(httpx.get(wrong))[0] == 403


def test_one_idempotency_key_makes_one_job(bob: Caller, songs: dict[str, Path]) -> None:
    """J5: a hundred at once: one job, one hold."""
    body = {"uploadKey": bob.upload(songs["wav"]), "outputType": "VOCALS", "quality": "FAST"}
    before = bob.balance()

    def post(_: int) -> httpx.Response:
        return bob.http.post("/jobs", json=body, headers={"Idempotency-Key": "same"})

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(post, range(100)))
    assert {a.status_code for a in answers} == {201}
    assert len({a.content for a in answers}) == 1
    assert before - bob.balance() == 6
    spelled = json.dumps({"outputFormat": "MP3", **dict(reversed(body.items()))}, indent=1)
    assert bob.http.post("/jobs", content=spelled.replace("VOCALS", "\\u0056OCALS"),
                         headers={"Idempotency-Key": "same"}).content == answers[0].content
    other = bob.http.post("/jobs", json=body | {"quality": "BEST"},
                          headers={"Idempotency-Key": "same"})
    assert error(other) == (409, "IDEMPOTENCY_CONFLICT")
    bob.end_of(answers[0].json()["id"])


def test_cancel_and_remove(bob: Caller, songs: dict[str, Path], box: Server) -> None:
    before = bob.balance()
    job = bob.create(uploadKey=bob.upload(songs["long"])).json()
    assert bob.balance() == before - 40
    assert bob.http.delete(f"/jobs/{job['id']}").json() == {"deleted": True}
    gone = bob.http.get(f"/jobs/{job['id']}").json()
    assert (gone["status"], gone["errorMessage"], gone["creditsCharged"]) == (
        "FAILED", "The job was cancelled", 0)
    assert bob.balance() == before
    done = bob.create(uploadKey=bob.upload(songs["wav"]), outputType="VOCALS").json()
    url = bob.end_of(done["id"])["outputs"]["vocals"]["url"]
    assert bob.http.delete(f"/jobs/{done['id']}").status_code == 200
    gone = bob.http.get(f"/jobs/{done['id']}").json()
    assert (gone["status"], gone["outputs"], gone["creditsCharged"]) == ("EXPIRED", None, 6)
    assert error(httpx.get(url))[0] == 404
    assert not (box.data / "outputs" / done["id"]).exists()
    for job_id in (job["id"], done["id"]):
        wait_for(lambda job_id=job_id: not (box.data / "scratch" / job_id).exists())
