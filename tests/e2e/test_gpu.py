"""A server on a CUDA card, over HTTP (`make test-gpu`)."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

from tests.harness import Server, serving

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA card"),
]
SOURCES = ("vocals", "drums", "bass", "other")
RATE = 44100


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("card") / "data", separation__device="cuda:0",
                 audio__workers=3) as running:
        yield running


def song(seconds: float) -> np.ndarray:
    """Frames (n, 2): chords that come and go, and hiss on every beat."""
    at = np.arange(round(seconds * RATE)) / RATE
    chord = sum(np.sin(2 * np.pi * pitch * at) for pitch in (55, 220, 277.2, 329.6))
    rng = np.random.default_rng(1)
    beat = rng.standard_normal((len(at), 2)) * np.exp(-20 * (at % 0.5))[:, None]
    steady = (chord * (0.6 + 0.4 * np.sin(at)))[:, None]
    return (0.08 * steady + 0.1 * beat).astype(np.float32)


def wav(frames: np.ndarray) -> bytes:
    file = io.BytesIO()
    sf.write(file, frames, RATE, "PCM_16", format="WAV")
    return file.getvalue()


def track(server: Server, job_id: str, name: str) -> np.ndarray:
    return sf.read(io.BytesIO(server.get(f"/download/{job_id}/{name}").content),
                   dtype="float32")[0]


def test_songs_at_once_are_separated_on_the_card(server: Server, tmp_path: Path) -> None:
    songs = [song(seconds) for seconds in (31, 4, 12)]
    ids = [server.post(wav(frames)).json()["job_id"] for frames in songs]
    for job_id, mix in zip(ids, songs, strict=True):
        job = server.end_of(job_id)
        assert job["status"] == "completed", job
        stems = [track(server, job_id, name) for name in SOURCES]
        assert all(stem.shape == mix.shape and np.isfinite(stem).all() for stem in stems)
        assert all(np.abs(stem).max() > 0 for stem in stems)
        error = np.sum((np.sum(stems, axis=0) - mix) ** 2) / np.sum(mix**2)
        assert 10 * np.log10(1 / error) > 6, "the stems add up to the mix"
    logged = server.log.read_text()
    assert '"device":"cuda:0"' in logged.replace(" ", "")
    assert "no CUDA graphs" not in logged and "process died" not in logged
