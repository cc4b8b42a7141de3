"""StemSplit jobs as they are heard: by signed URLs alone, in every output format."""

import io
import json
from pathlib import Path

import av
import httpx
import numpy as np
import pytest
import soundfile as sf

from tests.e2e.calling import Caller, error
from tests.harness import Server, wait_for


def window(url: str, tracks: str, start: float = 0, **more: object) -> np.ndarray:
    """(frames, tracks, 2), by a URL to which parameters are added."""
    query = {"tracks": tracks, "start": start, "seconds": 10} | more
    answer = httpx.get(f"{url}&{httpx.QueryParams(query)}", timeout=60)
    assert answer.status_code == 200, answer.text
    return np.frombuffer(answer.content, "<f4").reshape(-1, len(tracks.split(",")), 2)


def whole(url: str, kind: str) -> np.ndarray:
    content = httpx.get(url, timeout=60).content
    if kind != "MP3":
        return sf.read(io.BytesIO(content), dtype="float32")[0]
    with av.open(io.BytesIO(content)) as file:
        return np.concatenate([frame.to_ndarray() for frame in file.decode(audio=0)], axis=1).T


@pytest.mark.parametrize(("kind", "output_type"), [("MP3", "BOTH"), ("FLAC", "FOUR_STEMS")])
def test_a_song_is_heard_before_and_after_it_is_done(
    ann: Caller, songs: dict[str, Path], kind: str, output_type: str
) -> None:
    job_id = ann.create(uploadKey=ann.upload(songs["long"]), outputType=output_type,
                        quality="FAST", outputFormat=kind).json()["id"]
    mix = sf.read(songs["long"], dtype="float32")[0]
    early: dict[str, np.ndarray] = {}
    heard: dict[str, np.ndarray] = {}
    while (job := ann.http.get(f"/jobs/{job_id}").json())["status"] in ("PENDING", "PROCESSING"):
        early = heard or early  # the job went on behind these windows
        studio = job["studio"]
        if studio["listen"]["finalFrames"]:
            heard = {name: window(studio["windowUrl"], name)[:, 0] for name in ("vocals", "mix")}
    assert job["status"] == "COMPLETED"
    studio, count = job["studio"], len(mix)
    assert np.array_equal(early["mix"], mix[: len(early["mix"])])
    vocals = whole(job["outputs"]["vocals"]["url"], kind)
    # What an encoder changes is noise: the same sound, at the same place and level.
    kept = vocals[: len(early["vocals"])]
    if kind == "FLAC":
        assert np.abs(early["vocals"] - kept).max() <= 2**-16 * 1.01
    else:
        assert np.sum((early["vocals"] - kept) ** 2) < 0.05 * np.sum(kept**2)
    for start in (0.0, 17.3, 39.9):
        first = round(start * 44100)
        found = window(studio["windowUrl"], "vocals", start, seconds=1)[:, 0]
        assert np.array_equal(found, vocals[first : first + 44100])
    assert studio["listen"]["finalFrames"] == studio["listen"]["totalFrames"] == count
    assert studio["queue"] == {"position": 0}
    peaks = httpx.get(f"{studio['peaksUrl']}&zoom=coarse").json()
    assert set(job["outputs"]) <= set(peaks["tracks"])


def test_events_mixes_and_stem_files(ann: Caller, songs: dict[str, Path]) -> None:
    job_id = ann.create(uploadKey=ann.upload(songs["wav"]), outputType="FOUR_STEMS",
                        quality="FAST", outputFormat="FLAC").json()["id"]
    studio = ann.http.get(f"/jobs/{job_id}").json()["studio"]
    assert error(httpx.get(studio["mixUrl"])) == (409, "JOB_NOT_COMPLETED")
    told = httpx.get(studio["eventsUrl"], timeout=120).text.split("\n\n")
    last = dict(line.split(": ", 1) for line in [text for text in told if text][-1].split("\n"))
    job = json.loads(last["data"])
    assert (last["id"], job["status"], job["progress"]) == ("end", "COMPLETED", 100)
    stems = {name: whole(one["url"], "FLAC") for name, one in job["outputs"].items()}
    answer = httpx.get(f"{job['studio']['mixUrl']}&gain.drums=-6&mute=vocals", timeout=60)
    wanted = stems["bass"] + stems["other"] + 10 ** (-6 / 20) * stems["drums"]
    found = sf.read(io.BytesIO(answer.content), dtype="float32")[0]
    assert np.abs(found - wanted).max() <= 2**-16 * 1.02
    answer = httpx.get(job["studio"]["stemFileUrl"], timeout=60)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/mp4")


def test_a_signature_is_for_one_job_and_for_listening_alone(
    box: Server, ann: Caller, songs: dict[str, Path]
) -> None:
    job_id = ann.create(uploadKey=ann.upload(songs["wav"]), outputType="VOCALS",
                        quality="FAST").json()["id"]
    job = ann.end_of(job_id)
    urls = job["studio"]
    assert urls["stemFileUrl"] is None
    for name in ("window", "peaks", "events", "mix"):
        url = urls[f"{name}Url"]
        for wrong in (url.replace("signature=", "signature=x"), url.partition("?")[0],
                      url.replace(job_id, job_id[::-1]), url.replace(f"/{name}?", "/vocals.mp3?"),
                      job["outputs"]["vocals"]["url"].replace("/vocals.mp3?", f"/{name}?")):
            assert error(httpx.get(wrong)) == (403, "INVALID_SIGNATURE")
    assert error(httpx.get(f"{urls['windowUrl']}&tracks=drums")) == (404, "NOT_FOUND")
    assert error(httpx.get(f"{urls['windowUrl']}&tracks=vocals&start=-1")) == \
        (400, "INVALID_REQUEST")  # fmt: skip
    assert ann.http.delete(f"/jobs/{job_id}").status_code == 200
    assert ann.http.get(f"/jobs/{job_id}").json()["studio"] is None
    for name in ("window", "peaks", "mix"):
        assert error(httpx.get(f"{urls[f'{name}Url']}&tracks=vocals")) == (404, "NOT_FOUND")
    wait_for(lambda: not (box.data / "outputs" / job_id).exists())
