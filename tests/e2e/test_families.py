"""A model of another kind on a real server: its own stems, by either API."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile as sf
import torch
import yaml

from tests.e2e.calling import Caller, new_key
from tests.engine.families.test_families import DEMUCS, drums
from tests.harness import Server, serving


def install_drumsep(data: Path) -> None:
    """A model that takes drums apart, where a server finds it."""
    folder = data / "models" / "drumsep"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(DEMUCS | {"licence": "CC-BY-4.0"}))
    torch.save(drums().state_dict(), folder / "model.ckpt")


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a model that takes drums apart."""
    data = tmp_path_factory.mktemp("families") / "data"
    install_drumsep(data)
    with serving(data, limits__requests_per_minute=100_000) as running:
        yield running


def test_the_pipeline(box: Server, songs: dict[str, Path]) -> None:
    listed = {model["name"]: model for model in box.get("/config").json()["installed_models"]}
    assert listed["drumsep"]["stems"] == ["kick", "snare"]
    assert listed["drumsep"]["licence"] == "CC-BY-4.0"
    with songs["wav"].open("rb") as file:
        job = httpx.post(f"{box.url}/process", files={"file": ("song.wav", file)},
                         data={"stems": "snare,kick"}, timeout=60).json()
    assert box.end_of(job["job_id"])["status"] == "completed"
    outputs = box.get(f"/job/{job['job_id']}/outputs").json()
    composites = {"harmonic", "percussive", "main", "main_harmonic", "main_percussive"}
    assert set(outputs) == {"kick", "snare"} | composites
    kick, rate = sf.read(outputs["kick"])
    mix, _ = sf.read(songs["wav"])
    assert rate == 44100 and kick.shape == mix.shape and np.abs(kick).max() > 0
    whole = box.get(f"/job/{job['job_id']}").json()
    assert set(whole["tracks"]) == set(outputs) | {"mix"}
    window = box.get(f"/job/{job['job_id']}/window?tracks=kick,snare&seconds=0.5")
    assert window.headers["X-Tracks"] == "kick,snare"
    assert box.get(f"/download/{job['job_id']}/snare").status_code == 200
    assert box.get(f"/download/{job['job_id']}/vocals").status_code == 404
    measured = {model["name"]: model["seconds_per_second"]
                for model in box.get("/config").json()["installed_models"]}
    assert measured["drumsep"] > 0 and measured["starter"] is None


def test_the_partners(box: Server, songs: dict[str, Path]) -> None:
    caller = Caller(box, new_key(box, "drummer"))
    models = {model["name"]: model for model in caller.http.get("/models").json()["models"]}
    assert models["drumsep"]["family"] == "demucs" and models["starter"]["licence"] == "MIT"
    assert models["starter"]["tiers"] == ["balanced", "best", "six_stems"]
    key = caller.upload(songs["wav"])
    made = caller.create(uploadKey=key, stems=["snare"], outputFormat="WAV")
    assert made.status_code == 201, made.text
    assert made.json()["options"]["stems"] == ["snare"]
    assert made.json()["options"]["model"] == "drumsep"
    ended = caller.end_of(made.json()["id"])
    assert ended["status"] == "COMPLETED" and set(ended["outputs"]) == {"snare"}
    assert ended["creditsCharged"] == 6
    whole = caller.create(uploadKey=caller.upload(songs["wav"]), model="drumsep")
    assert whole.status_code == 201, whole.text
    assert set(caller.end_of(whole.json()["id"])["outputs"]) == set(models["drumsep"]["stems"])
    for body, said in (({"stems": ["kazoo"]}, "No model here makes kazoo"),
                       ({"stems": []}, "must not be empty"), ({"stems": ["Kick!"]}, "must match"),
                       ({"stems": ["main"]}, "no name of a stem"),
                       ({"model": "drumsep", "outputType": "BOTH"},
                        "drumsep makes no vocals, instrumental")):
        refused = caller.create(uploadKey=caller.upload(songs["wav"]), **body)
        assert refused.status_code == 400, refused.text
        assert refused.json()["error"]["code"] == "INVALID_REQUEST"
        assert said in refused.json()["error"]["message"]
