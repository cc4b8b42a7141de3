"""Presets on a real server: by either API, in a tier, heard early, killed and cancelled."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile as sf

from tests.e2e.calling import Caller, new_key
from tests.e2e.test_families import install_drumsep
from tests.e2e.test_listening import finished, window
from tests.harness import Server, serving, wait_for

KARAOKE = """
stems = ["vocals", "instrumental", "lead", "backing"]
[[steps]]
model = ["starter", "starter_fast"]
stems = ["vocals", "instrumental"]
weights = { vocals = [2, 1] }
[[steps]]
input = "vocals"
model = "drumsep"
stems = { lead = "kick", backing = "snare" }
"""
HALF = 'steps = [{ model = "starter", stems = ["drums"] }, { model = "nowhere" }]'
TRACKS = ("vocals", "instrumental", "lead", "backing")


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a whole preset, which its tier FAST names first, and one that is not whole."""
    data = tmp_path_factory.mktemp("presets") / "data"
    install_drumsep(data)
    with serving(
        data,
        limits__requests_per_minute=100_000,
        presets__karaoke=KARAOKE,
        presets__half=HALF,
        models__fast="half,karaoke,starter_fast",
    ) as running:
        yield running


def post(box: Server, song: Path, **fields: str) -> dict[str, Any]:
    with song.open("rb") as file:
        answer = httpx.post(
            f"{box.url}/process", files={"file": ("song.wav", file)}, data=fields, timeout=60
        )
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()
    return job


def scratch_of(box: Server, job_id: str) -> Path:
    return box.data / "scratch" / job_id


def in_second_step(folder: Path) -> bool:
    """What the first step made lies there, and grows to what the second makes of it."""
    return any(folder.glob(".vocals.*")) and any(folder.glob("lead.f32.*"))


def test_the_start_says_what_is_not_whole(box: Server) -> None:
    assert "half       not used: model nowhere is not on this machine" in box.log.read_text()


def test_the_pipeline(box: Server, songs: dict[str, Path]) -> None:
    config = box.get("/config").json()
    listed = {model["name"]: model for model in config["installed_models"]}
    karaoke = listed["karaoke"]
    assert karaoke["stems"] == list(TRACKS) and karaoke["family"] == "preset"
    assert [part["name"] for part in karaoke["parts"]] == ["starter", "starter_fast", "drumsep"]
    assert karaoke["size_bytes"] == sum(part["size_bytes"] for part in karaoke["parts"])
    assert karaoke["licence"] == "MIT, CC-BY-4.0" and karaoke["tiers"] == ["fast"]
    assert listed["starter"]["parts"] == [] and "half" not in listed
    assert config["models"]["fast"]["wanted"] == "half"
    job = post(box, songs["wav"], model="karaoke")
    assert box.end_of(job["job_id"])["status"] == "completed"
    outputs = box.get(f"/job/{job['job_id']}/outputs").json()
    composites = {"harmonic", "percussive", "main", "main_harmonic", "main_percussive"}
    assert set(outputs) == {*TRACKS, *composites}
    mix, _ = sf.read(songs["wav"])
    vocals, rest = (sf.read(outputs[name])[0] for name in ("vocals", "instrumental"))
    assert np.abs(vocals).max() > 0 and np.abs(sf.read(outputs["lead"])[0]).max() > 0
    assert np.abs(vocals + rest - mix).max() < 3 / 2**15
    measured = {
        model["name"]: model["seconds_per_second"]
        for model in box.get("/config").json()["installed_models"]
    }
    assert measured["karaoke"] > 0 and measured["drumsep"] is None
    assert not list(scratch_of(box, job["job_id"]).glob("*.f32*"))
    loaded = next(
        worker["models"]
        for worker in box.get("/config").json()["workers"]
        if worker["pool"] == "separation"
    )
    assert set(loaded) == {"starter", "starter_fast", "drumsep"} and loaded["starter"] > 0


def test_the_partners(box: Server, songs: dict[str, Path]) -> None:
    caller = Caller(box, new_key(box, "singer"))
    models = {model["name"]: model for model in caller.http.get("/models").json()["models"]}
    assert [part["sizeBytes"] > 0 for part in models["karaoke"]["parts"]] == [True] * 3
    made = caller.create(
        uploadKey=caller.upload(songs["wav"]),
        model="karaoke",
        stems=["backing", "lead"],
        outputFormat="WAV",
    )
    assert made.status_code == 201, made.text
    ended = caller.end_of(made.json()["id"])
    assert ended["status"] == "COMPLETED" and list(ended["outputs"]) == ["backing", "lead"]
    assert ended["options"]["model"] == "karaoke" and ended["creditsCharged"] == 6
    whole = caller.create(uploadKey=caller.upload(songs["wav"]), model="karaoke")
    assert set(caller.end_of(whole.json()["id"])["outputs"]) == set(TRACKS)
    for body, said in (
        ({"model": "half"}, "'half' is not on this server"),
        ({"model": "karaoke", "stems": ["drums"]}, "karaoke makes no drums"),
    ):
        refused = caller.create(uploadKey=caller.upload(songs["wav"]), **body)
        assert refused.status_code == 400, refused.text
        assert said in refused.json()["error"]["message"]


def test_a_tier_that_names_one(box: Server, songs: dict[str, Path]) -> None:
    caller = Caller(box, new_key(box, "tier"))
    served = {}
    for output in ("BOTH", "FOUR_STEMS"):
        made = caller.create(
            uploadKey=caller.upload(songs["wav"]),
            outputType=output,
            quality="FAST",
            outputFormat="WAV",
        )
        ended = caller.end_of(made.json()["id"])
        assert ended["status"] == "COMPLETED"
        served[output] = ended["options"]["model"]
    assert served == {"BOTH": "karaoke", "FOUR_STEMS": "starter_fast"}, "it makes no drums"


def test_what_is_heard_early_is_the_finished_track(box: Server, songs: dict[str, Path]) -> None:
    job_id = post(box, songs["long"], model="karaoke")["job_id"]
    heard: dict[str, list[np.ndarray]] = {name: [] for name in TRACKS}
    last, reached = 0, []
    while (job := box.job(job_id))["status"] == "processing":
        for name, pieces in heard.items():
            frames, finals, _ = window(box, job_id, (name,), sum(map(len, pieces)))
            assert sum(map(len, pieces)) + len(frames) <= finals[0]
            pieces.append(frames[:, 0])
        assert job["progress"] >= last
        last = job["progress"]
        reached.append({name: sum(map(len, pieces)) for name, pieces in heard.items()})
    assert job["status"] == "completed"
    assert any(row["vocals"] > row["lead"] for row in reached), "the first step comes first"
    for name, pieces in heard.items():
        sound, kept = np.concatenate(pieces), finished(box, job_id, name)
        assert len(sound) > 0, name
        error = np.abs(sound - np.clip(kept, -1, 1)[: len(sound)])
        assert error[np.abs(sound) < 1].max(initial=0) <= 2**-16 * 1.01, name


def test_a_worker_that_is_killed_in_mid_chain(box: Server, songs: dict[str, Path]) -> None:
    """The job is done again from its start, and what lay between goes with it."""
    job_id = post(box, songs["long"], model="karaoke", stems="lead,backing")["job_id"]
    folder = scratch_of(box, job_id)
    wait_for(lambda: in_second_step(folder))
    os.kill(box.pid_of("separation-0"), signal.SIGKILL)
    assert box.end_of(job_id)["status"] == "completed"
    assert set(box.job(job_id)["outputs"]) > {"lead", "backing"}
    wait_for(lambda: not folder.exists())


def test_a_cancel_in_mid_chain(box: Server, songs: dict[str, Path]) -> None:
    job_id = post(box, songs["long"], model="karaoke", stems="lead,backing")["job_id"]
    folder = scratch_of(box, job_id)
    wait_for(lambda: in_second_step(folder))
    assert httpx.delete(f"{box.url}/job/{job_id}", timeout=60).status_code == 200
    wait_for(lambda: not folder.exists())
    job = post(box, songs["wav"], model="karaoke")
    assert box.end_of(job["job_id"])["status"] == "completed"
