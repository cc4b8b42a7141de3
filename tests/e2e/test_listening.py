"""Listening to a song while a real server separates it: what is heard early is what is kept."""

import base64
import io
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile as sf

from tests.harness import Server, wait_for

STEMS = ("vocals", "drums", "bass", "other")
EARLY = (*STEMS, "harmonic", "percussive", "mix")
ALL = (*EARLY[:6], "main", "main_harmonic", "main_percussive", "mix")
HALF_STEP = 2**-16 * 1.01  # of 16 bits


def window(
    server: Server, job_id: str, names: tuple[str, ...], start: int = 0, **parameters: Any
) -> tuple[np.ndarray, list[int], int]:
    """(frames, tracks, 2) from frame `start` on; how far each track is final; the song's length."""
    query = {"tracks": ",".join(names), "start": start / 44100, "seconds": 10} | parameters
    answer = server.get(f"/job/{job_id}/window", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-start-frame"] == str(start)
    frames = np.frombuffer(answer.content, "<f4").reshape(-1, len(names), 2)
    assert len(frames) == int(answer.headers["x-frames"])
    finals = [int(n) for n in answer.headers["x-final-frames"].split(",")]
    return frames, finals, int(answer.headers["x-total-frames"])


def finished(server: Server, job_id: str, track: str) -> np.ndarray:
    content = server.get(f"/download/{job_id}/{track}").content
    return sf.read(io.BytesIO(content), dtype="float32", always_2d=True)[0]


@pytest.fixture(scope="module")
def early(server: Server, songs: dict[str, Path]) -> tuple[str, dict[str, list[np.ndarray]], int]:
    """A job, what was heard of each track before it was done, and how often anything was."""
    job_id = server.post(songs["long"]).json()["job_id"]
    heard: dict[str, list[np.ndarray]] = {name: [] for name in EARLY}
    looks = 0
    while server.job(job_id)["status"] == "processing":
        for name, pieces in heard.items():
            frames, finals, _ = window(server, job_id, (name,), sum(map(len, pieces)))
            assert sum(map(len, pieces)) + len(frames) <= finals[0]
            pieces.append(frames[:, 0])
            looks += len(frames) > 0
    assert server.job(job_id)["status"] == "completed"
    return job_id, heard, looks


def test_what_is_heard_early_is_the_finished_track(
    server: Server, early: tuple[str, dict[str, list[np.ndarray]], int], songs: dict[str, Path]
) -> None:
    job_id, heard, looks = early
    assert looks > len(STEMS)
    for stem in STEMS:
        assert len(heard[stem]) > 1
    for name, pieces in heard.items():
        sound = np.concatenate(pieces)
        kept = sf.read(songs["long"], dtype="float32")[0] if name == "mix" \
            else finished(server, job_id, name)  # fmt: skip
        error = np.abs(sound - np.clip(kept, -1, 1)[: len(sound)])
        assert error[np.abs(sound) < 1].max(initial=0) <= HALF_STEP, name


def test_a_finished_job_is_heard_from_its_files(
    server: Server, early: tuple[str, dict[str, list[np.ndarray]], int], songs: dict[str, Path]
) -> None:
    job_id = early[0]
    wait_for(lambda: not (server.data / "scratch" / job_id).exists())
    mix = sf.read(songs["long"], dtype="float32")[0]
    for start in (0, 12_345, len(mix) - 1000):
        frames, finals, total = window(server, job_id, ALL, start, seconds=0.5)
        assert (finals, total) == ([len(mix)] * len(ALL), len(mix))
        for index, name in enumerate(ALL[:-1]):
            kept = finished(server, job_id, name)[start : start + len(frames)]
            assert np.array_equal(frames[:, index], kept), name
        assert np.abs(frames[:, -1] - mix[start : start + len(frames)]).max() < 3 / 32768
    assert server.job(job_id)["listen"] == {
        "final_frames": len(mix), "total_frames": len(mix), "tracks": dict.fromkeys(ALL, len(mix))}


def test_peaks_of_all_tracks(
    server: Server, early: tuple[str, dict[str, list[np.ndarray]], int]
) -> None:
    answer = server.get(f"/job/{early[0]}/peaks?zoom=fine").json()
    assert sorted(answer["tracks"]) == sorted(ALL)
    drums = finished(server, early[0], "drums")
    whole = drums[: len(drums) // 512 * 512].reshape(-1, 1024)
    data = base64.b64decode(answer["tracks"]["drums"]["zooms"][0]["data"])
    pairs = np.frombuffer(data, np.int8).reshape(-1, 2)
    assert len(pairs) == -(-len(drums) // 512)
    for column, extreme in enumerate((whole.min(1), whole.max(1))):
        assert np.abs(pairs[: len(whole), column] - 127 * extreme).max() < 0.6


def test_events_tell_how_far_one_may_listen(server: Server, songs: dict[str, Path]) -> None:
    job_id = server.post(songs["long"]).json()["job_id"]
    told = []
    with httpx.stream("GET", f"{server.url}/job/{job_id}/events", timeout=120) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                told.append(json.loads(line.removeprefix("data: ")))
                listen = told[-1]["listen"]
                if told[-1]["status"] == "processing" and listen["final_frames"]:
                    _, finals, _ = window(server, job_id, STEMS, seconds=0.01)
                    assert min(finals) >= listen["final_frames"]
    assert told[-1] == server.job(job_id)
    assert (told[-1]["status"], told[-1]["progress"], told[-1]["eta_seconds"]) == \
        ("completed", 100, 0)  # fmt: skip
    for before, after in pairwise(told):
        assert before != after
        assert before["progress"] <= after["progress"]
        assert before["listen"]["final_frames"] <= after["listen"]["final_frames"]
    assert [one for one in told if 0 < one["listen"]["final_frames"] < 40 * 44100]


def test_a_job_is_deleted_while_it_is_separated(server: Server, songs: dict[str, Path]) -> None:
    job_id = server.post(songs["long"]).json()["job_id"]
    scratch = server.data / "scratch" / job_id
    wait_for(lambda: list(scratch.glob("vocals.f32.*.part")))
    assert httpx.delete(f"{server.url}/job/{job_id}").json() == {"job_id": job_id, "deleted": True}
    for path in ("", "/window?tracks=vocals", "/peaks", "/events", "/outputs"):
        assert server.get(f"/job/{job_id}{path}").status_code == 404
    assert not (server.data / "outputs" / job_id).exists()
    wait_for(lambda: not scratch.exists())
    assert httpx.delete(f"{server.url}/job/{job_id}").status_code == 404
    # The workers have given it up, and go on.
    job = server.end_of(server.post(songs["wav"]).json()["job_id"])
    assert job["status"] == "completed"
    assert httpx.delete(f"{server.url}/job/{job['job_id']}").status_code == 200
    assert not (server.data / "outputs" / job["job_id"]).exists()


def test_the_demo_song_and_a_mix_of_it(server: Server) -> None:
    answer = httpx.post(f"{server.url}/demo", timeout=60)
    job = server.end_of(answer.json()["job_id"])
    assert job["status"] == "completed"
    assert (job["input"]["file_name"], job["input"]["duration_seconds"]) == ("Demo song.opus", 30.0)
    url = f"/job/{job['job_id']}/mix?gain.bass=-6&mute=drums&start=1&end=3"
    stems = {name: finished(server, job["job_id"], name) for name in STEMS}
    wanted = sum(stems[name] * gain for name, gain in
                 (("vocals", 1), ("other", 1), ("bass", 10 ** (-6 / 20))))[44100:132300]
    found = sf.read(io.BytesIO(server.get(url).content), always_2d=True)[0]
    assert np.abs(wanted).max() < 1
    assert np.abs(found - wanted).max() <= 2**-16 * 1.02
    for kind in ("flac", "mp3"):
        answer = server.get(f"{url}&format={kind}")
        assert len(sf.read(io.BytesIO(answer.content))[0]) == len(wanted)
    answer = server.get(f"/download/{job['job_id']}/stems.stem.m4a")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/mp4")
    assert b"stem{" in answer.content
