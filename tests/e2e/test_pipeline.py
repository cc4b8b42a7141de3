"""A song goes in, nine tracks come out: the whole way, over HTTP."""

import io
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import httpx
import numpy as np
import pyloudnorm
import pytest
import soundfile as sf

from tests.api.zip_streams import read_as_stream
from tests.audio.making import song
from tests.audio.sources.muxing import Sound, mux
from tests.harness import Server

TRACKS = ["vocals", "drums", "bass", "other", "harmonic", "percussive",
          "main", "main_harmonic", "main_percussive"]


@pytest.fixture(scope="module")
def job(server: Server, songs: dict[str, Path]) -> dict:
    answer = server.post(songs["wav"])
    assert answer.status_code == 200
    assert answer.json()["status"] == "processing"
    return server.end_of(answer.json()["job_id"])


def read(server: Server, job: dict, track: str) -> np.ndarray:
    data = server.get(f"/download/{job['job_id']}/{track}").content
    samples, rate = sf.read(io.BytesIO(data), dtype="float32")
    assert rate == 44100
    return samples


def test_all_stages_and_tracks(server: Server, job: dict) -> None:
    assert job["status"] == "completed"
    assert list(job["outputs"]) == TRACKS
    for stage in job["stages"]:
        assert stage["status"] == "completed"
        assert stage["error"] is None
        assert stage["duration_seconds"] > 0
        assert stage["started_at"] <= stage["completed_at"]
    assert server.get(f"/job/{job['job_id']}/outputs").json() == job["outputs"]


def test_what_the_tracks_are(server: Server, job: dict, songs: dict[str, Path]) -> None:
    mix = sf.read(songs["wav"], dtype="float32")[0]
    tracks = {name: read(server, job, name) for name in TRACKS}
    assert all(samples.shape == mix.shape for samples in tracks.values())
    both = tracks["harmonic"] + tracks["percussive"]
    assert np.abs(both - mix).max() < 3 / 32768, "harmonic and percussive are the mix"
    stems = sum(tracks[name] for name in ("vocals", "drums", "bass", "other"))
    error = np.sum((stems - mix) ** 2) / np.sum(mix**2)
    assert 10 * np.log10(1 / error) > 6, "the stems add up to the mix, within the model's error"
    for name in ("main", "main_harmonic", "main_percussive"):
        loudness = pyloudnorm.Meter(44100).integrated_loudness(tracks[name])
        peak = 20 * np.log10(np.abs(tracks[name]).max())
        assert abs(loudness + 14) < 0.2 or -2 < peak <= -0.9


def test_zip_holds_the_same_files(server: Server, job: dict) -> None:
    answer = server.get(f"/download/{job['job_id']}/all")
    assert answer.headers["content-type"] == "application/zip"
    assert int(answer.headers["content-length"]) == len(answer.content)
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    assert archive.namelist() == [f"{name}.wav" for name in TRACKS]
    files = {f"{name}.wav": Path(path).read_bytes() for name, path in job["outputs"].items()}
    assert {name: archive.read(name) for name in archive.namelist()} == files
    assert read_as_stream(answer.content) == files


def test_a_zip_of_tracks_from_before_their_contents_were_kept(server: Server, job: dict) -> None:
    url = f"/download/{job['job_id']}/all"
    known = f"SELECT name, size, crc FROM tracks WHERE job_id = '{job['job_id']}' ORDER BY 1"
    before = server.get(url)
    with closing(sqlite3.connect(server.data / "stembox.db", isolation_level=None)) as database:
        kept = database.execute(known).fetchall()
        assert all(size and crc for _, size, crc in kept)
        database.execute("UPDATE tracks SET size = NULL, crc = NULL")
        server.end_of(server.post(wav(np.zeros((5, 2)))).json()["job_id"])  # no answer is cached
        assert server.get(url).content == before.content
        assert set(kept) <= set(database.execute(known).fetchall())


def test_downloads_are_named_after_the_song(server: Server, job: dict) -> None:
    for path, name in (("vocals", "song - vocals.wav"), ("all", "song.zip")):
        answer = server.get(f"/download/{job['job_id']}/{path}")
        assert answer.headers["content-disposition"] == (
            f"attachment; filename=\"{name}\"; filename*=UTF-8''{quote(name)}")


@pytest.mark.parametrize("kind", ["mp3", "flac", "ogg"])
def test_other_formats(server: Server, songs: dict[str, Path], kind: str) -> None:
    answer = server.post(songs[kind], f"song.{kind}")
    job = server.end_of(answer.json()["job_id"])
    assert job["status"] == "completed"
    length = len(sf.read(songs["wav"])[0])
    assert abs(len(read(server, job, "vocals")) - length) < 4096


def wav(samples: np.ndarray, rate: int = 44100, subtype: str = "PCM_16") -> bytes:
    file = io.BytesIO()
    sf.write(file, samples, rate, subtype=subtype, format="WAV")
    return file.getvalue()


@pytest.mark.parametrize(("content", "length"), [
    (wav(np.zeros((44100, 2))), 44100),
    (wav(np.full((1, 1), 0.5)), 1),
    (wav(np.random.default_rng(0).uniform(-0.5, 0.5, (96000, 6)), 96000), 44100),
    (wav(np.where(np.arange(30000)[:, None] // 50 % 2, 1.0, -1.0)), 30000),
    (wav(np.full((1000, 2), np.nan), subtype="FLOAT"), 1000),
], ids=["silence", "one sample", "96 kHz 6 channels", "full-scale square", "NaN"])
def test_odd_audio_makes_finite_tracks(server: Server, content: bytes, length: int) -> None:
    job = server.end_of(server.post(content).json()["job_id"])
    assert job["status"] == "completed"
    for name in TRACKS:
        samples = read(server, job, name)
        assert len(samples) == length
        assert np.isfinite(samples).all()


@pytest.mark.parametrize(("content", "name", "sentence"), [
    (b"", "empty.wav", None),
    (b"this is a text, not a song\n" * 100, "text.wav", "Unsupported audio format: .wav"),
    (b"\x00" * 5000, "zeros.mp3", None),
    (b"%PDF-1.7 ...", "paper.pdf", "Unsupported audio format: .pdf"),
])
def test_no_audio_is_400_at_once(
    server: Server, content: bytes, name: str, sentence: str | None
) -> None:
    answer = server.post(content, name)
    assert answer.status_code == 400
    assert sentence is None or answer.json()["detail"] == sentence
    assert not list((server.data / "spool").iterdir())


def test_a_truncated_mp3(server: Server, songs: dict[str, Path]) -> None:
    data = songs["mp3"].read_bytes()
    job = server.end_of(server.post(data[: len(data) // 2], "half.mp3").json()["job_id"])
    assert job["status"] == "completed"


def test_what_was_taken_and_what_was_lost_is_told(server: Server, tmp_path: Path) -> None:
    sounds = [Sound(song(3.0, seed), 44100, "flac", default=bool(seed)) for seed in (0, 1)]
    path = mux(tmp_path / "film.mkv", "matroska", *sounds)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    answer = server.post(path)
    assert answer.status_code == 200
    assert "input" not in answer.json(), "the answer to the upload is the contract's"
    job = server.end_of(answer.json()["job_id"])
    assert job["status"] == "completed"
    told = job["input"]
    assert (told["format"], told["codec"], told["track"]) == ("mkv", "FLAC", "2 of 2 (FLAC)")
    assert any(text.startswith("The file ends early: it holds ") for text in told["warnings"])


def test_too_long_by_its_samples(server: Server) -> None:
    file = io.BytesIO()  # a small file that decodes to more than the limit's 120 s
    sf.write(file, np.zeros((44100 * 130, 1)), 44100, format="FLAC")
    answer = server.post(file.getvalue(), "long.flac")
    if answer.status_code == 200:
        job = server.end_of(answer.json()["job_id"])
        assert job["status"] == "failed"
        assert "longer than 120" in job["stages"][0]["error"]
    else:
        assert answer.status_code == 400
        assert "longer than 120" in answer.json()["detail"]


def test_too_large_leaves_nothing(server: Server) -> None:
    answer = httpx.post(f"{server.url}/process", files={"file": ("big.wav", b"x" * 43_000_000)},
                        timeout=60)
    assert answer.status_code == 413
    assert not list((server.data / "spool").iterdir())


def test_scratch_is_gone_when_a_job_is_done(server: Server, job: dict) -> None:
    assert not (server.data / "scratch" / job["job_id"]).exists()


def test_unknown_job(server: Server) -> None:
    for path in ("/job/nope", "/job/nope/outputs", "/download/nope/all"):
        answer = server.get(path)
        assert (answer.status_code, answer.json()) == (404, {"detail": "Job not found"})
