"""Two servers for the tests that only use them, and songs to send."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from server.starter.songs import synthesise
from tests.e2e.calling import LIMIT, Caller, new_key
from tests.harness import Server, serving

SEED = 2_000_100


def write_song(path: Path, seconds: float, seed: int = SEED) -> Path:
    """A song with a file type by its suffix; soundfile crashes on long Ogg in one call."""
    mix = np.sum(list(synthesise(seed, seconds).values()), axis=0).T
    subtype = {".wav": "PCM_16", ".flac": "PCM_16", ".ogg": "VORBIS"}.get(path.suffix)
    with sf.SoundFile(path, "w", 44100, 2, subtype) as file:
        for start in range(0, len(mix), 4096):
            file.write(mix[start : start + 4096])
    return path


@pytest.fixture(scope="session")
def songs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """short: 6 s, as WAV, MP3, FLAC and Ogg; long: 40 s."""
    folder = tmp_path_factory.mktemp("songs")
    made = {kind: write_song(folder / f"short.{kind}", 6) for kind in ("wav", "mp3", "flac", "ogg")}
    return made | {"long": write_song(folder / "long.wav", 40)}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with small limits that nobody kills."""
    with serving(tmp_path_factory.mktemp("shared") / "data", limits__max_file_size_mb=40,
                 limits__max_audio_seconds=120) as running:
        yield running


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for callers of the StemSplit API, that nobody kills."""
    with serving(
        tmp_path_factory.mktemp("stemsplit") / "data",
        limits__requests_per_minute=LIMIT,
        limits__max_audio_seconds=60,
        limits__max_upload_mb=20,
        fetch__allow_networks="127.0.0.0/8",
        stemsplit__purchase_url="https://example.com/buy",
    ) as running:
        yield running


@pytest.fixture(scope="module")
def ann(box: Server, request: pytest.FixtureRequest) -> Caller:
    """Her account is new in every file."""
    return Caller(box, new_key(box, f"ann of {request.node.name}"))


@pytest.fixture(scope="module")
def bob(box: Server, request: pytest.FixtureRequest) -> Caller:
    """His account is new in every file."""
    return Caller(box, new_key(box, f"bob of {request.node.name}"))
