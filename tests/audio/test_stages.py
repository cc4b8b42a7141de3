"""The stages on real folders: what adds up, what is loud enough, what is left behind."""

import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pyloudnorm
import pytest
import soundfile
from msgspec.structs import replace

from server.audio.peaks import FINE
from server.audio.stages import COMPOSITES, HPSS_TRACKS, STAGES
from server.audio.writing.encode import CEILINGS
from server.errors import Cancelled
from server.work.messages import FinishedTrack, Options, Result, Task
from server.work.steps import finish

from .making import RATE, read_mix, song, write_mix, write_sound
from .test_peaks import slow_pairs

TARGET, CEILING = -14.0, -1.0


def ignore(done: float) -> None:
    assert 0 <= done <= 1


def task(folder: Path, stage: str, wav_format: str = "FLOAT", **facts: object) -> Task:
    options = Options(
        file_name="song.wav", model="m", overlap=0.25, wav_format=wav_format, target_lufs=TARGET,
        true_peak_dbtp=CEILING, max_seconds=60,
    )  # fmt: skip
    for name in ("scratch", "outputs"):
        (folder / name).mkdir(exist_ok=True)
    return Task(
        id="t", job="j", stage=stage, source=str(folder / "scratch" / "input"),
        scratch=str(folder / "scratch"),
        outputs=str(folder / "outputs"), options=options, facts=facts,
    )  # fmt: skip


def run(
    folder: Path, stage: str, report: Callable[[float], None] = ignore, **more: object
) -> Result:
    return finish(STAGES[stage.partition("/")[0]](task(folder, stage, **more)), report)


def run_all(folder: Path, samples: np.ndarray, wav_format: str = "FLOAT") -> Result:
    """Everything but the model, whose stems are quarters of the mix."""
    (folder / "scratch").mkdir(exist_ok=True)
    write_sound(folder / "scratch" / "input", samples, format="WAV", subtype="FLOAT")
    facts = run(folder, "probe").facts | run(folder, "decode").facts
    tracks = run(folder, "harmonic_percussive", wav_format=wav_format).tracks
    facts |= run(folder, "compose").facts
    tracks |= run(folder, "normalise", wav_format=wav_format, **facts).tracks
    for stem in ("vocals", "drums"):
        write_mix(folder / "scratch" / f"{stem}.f32", samples / 4)
    facts |= {"stems": ["vocals", "drums"], "peak": float(np.abs(samples / 4).max())}
    tracks |= run(folder, "encode_stems", wav_format=wav_format, **facts).tracks
    return Result("t", facts, tracks)


def read(folder: Path, result: Result, track: str) -> np.ndarray:
    return soundfile.read(folder / "outputs" / result.tracks[track].path, dtype="float32")[0]


def files(folder: Path) -> dict[str, bytes]:
    """All files but the input, in which libsndfile writes the time of day."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != "input")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_the_tracks_are_where_the_contract_has_them(tmp_path: Path) -> None:
    original = song(3)
    result = run_all(tmp_path, original)
    assert {track: file.path for track, file in result.tracks.items()} == {
        "harmonic": "harmonic_percussive/harmonic.wav",
        "percussive": "harmonic_percussive/percussive.wav",
        "main": "composite/main.wav",
        "main_harmonic": "composite/main_harmonic.wav",
        "main_percussive": "composite/main_percussive.wav",
        "vocals": "demucs_output/vocals.wav",
        "drums": "demucs_output/drums.wav",
    }
    found = files(tmp_path / "outputs")
    assert set(result.tracks.values()) == {
        FinishedTrack(path, len(data), zlib.crc32(data)) for path, data in found.items()
    }
    assert result.facts["format"] == "wav"
    assert result.facts["sample_rate"] == RATE
    assert result.facts["channels"] == 2
    assert result.facts["seconds"] == pytest.approx(3)
    assert result.facts["frames"] == 3 * RATE
    assert np.array_equal(read(tmp_path, result, "drums"), original / 4)


def test_decoding_tells_the_peaks_of_the_mix(tmp_path: Path) -> None:
    order = replace(task(tmp_path, "decode"), peaks=str(tmp_path / "outputs" / "peaks"))
    write_sound(tmp_path / "scratch" / "input", song(3), format="WAV", subtype="FLOAT")
    finish(STAGES["decode"](order))
    told = np.frombuffer((tmp_path / "outputs/peaks/mix").read_bytes(), np.int8).reshape(-1, 2)
    assert told.tolist() == slow_pairs(read_mix(tmp_path / "scratch" / "mix.f32"), FINE)


def test_harmonic_and_percussive_add_up_to_the_mix(tmp_path: Path) -> None:
    original = song(5)
    result = run_all(tmp_path, original)
    parts = [read(tmp_path, result, name) for name in HPSS_TRACKS]
    assert np.abs(parts[0] + parts[1] - original).max() < 2e-6
    assert all(np.std(part) > 0.01 for part in parts)  # both hold something
    for name, part in zip(HPSS_TRACKS, parts, strict=True):
        assert np.array_equal(read_mix(tmp_path / "scratch" / f"{name}.f32"), part)


@pytest.mark.parametrize("level", [0.02, 1.0])
def test_composites_meet_the_loudness_or_the_ceiling(tmp_path: Path, level: float) -> None:
    samples = song(4) * np.float32(level)
    result = run_all(tmp_path, samples)
    meter = pyloudnorm.Meter(RATE)
    ceilings = 0
    for track, source in COMPOSITES.items():
        out = read(tmp_path, result, track)
        loudness = meter.integrated_loudness(out)
        peak = 20 * np.log10(true_peak(out))
        assert peak < CEILING + 0.1
        at_ceiling = peak > CEILING - 0.1
        assert at_ceiling or loudness == pytest.approx(TARGET, abs=0.1)
        assert loudness < TARGET + 0.1
        ceilings += at_ceiling
        before = read_mix(tmp_path / "scratch" / f"{source}.f32")
        assert np.allclose(out, before * np.float32(result.facts["gains"][track]), atol=1e-7)
    assert ceilings < len(COMPOSITES)  # else the loudness was never looked at


def true_peak(samples: np.ndarray) -> float:
    """The greatest value between the samples too, by 16 times as many of them."""
    spectrum = np.fft.rfft(samples, axis=0)
    fine = 16 * len(samples)
    return float(np.abs(np.fft.irfft(spectrum, fine, axis=0)).max() * 16)


def test_a_silent_song_stays_silent(tmp_path: Path) -> None:
    result = run_all(tmp_path, np.zeros((RATE, 2), np.float32), "PCM_16")
    assert result.facts["gains"] == {"main": 1.0, "main_harmonic": 1.0, "main_percussive": 1.0}
    for track in result.tracks:
        out = read(tmp_path, result, track)
        assert len(out) == RATE
        assert not out.any()


@pytest.mark.parametrize("frames", [1, 3, 2000])
def test_the_shortest_songs(tmp_path: Path, frames: int) -> None:
    samples = np.full((frames, 2), 0.25, np.float32)
    result = run_all(tmp_path, samples, "PCM_16")
    assert {len(read(tmp_path, result, track)) for track in result.tracks} == {frames}
    assert all(np.isfinite(gain) for gain in result.facts["gains"].values())


def test_loud_parts_are_clipped_and_never_wrap(tmp_path: Path) -> None:
    samples = np.clip(song(2) * 40, -3, 3)
    result = run_all(tmp_path, samples, "PCM_16")
    for name in HPSS_TRACKS:
        part = read_mix(tmp_path / "scratch" / f"{name}.f32")
        assert np.abs(part).max() > 1
        out = read(tmp_path, result, name)
        assert np.abs(out - np.clip(part, -1, 1 - 2**-15)).max() <= 2**-16


@pytest.mark.parametrize("wav_format", ["PCM_16", "PCM_24", "FLOAT"])
def test_running_again_gives_the_same_files(tmp_path: Path, wav_format: str) -> None:
    first = run_all(tmp_path, song(1), wav_format)
    before = files(tmp_path)
    assert run_all(tmp_path, song(1), wav_format) == first
    assert files(tmp_path) == before


@pytest.mark.parametrize("stage", ["decode", "harmonic_percussive", "normalise", "encode_stems"])
def test_cancelling_leaves_nothing(tmp_path: Path, stage: str) -> None:
    facts = run_all(tmp_path, song(8)).facts
    made = {
        "decode": ["scratch/mix.f32"],
        "harmonic_percussive": ["scratch/harmonic.f32", "scratch/percussive.f32",
                                *(f"outputs/harmonic_percussive/{n}.wav" for n in HPSS_TRACKS)],
        "normalise": [f"outputs/composite/{name}.wav" for name in COMPOSITES],
        "encode_stems": [f"outputs/demucs_output/{name}.wav" for name in facts["stems"]],
    }[stage]  # fmt: skip
    for name in made:
        (tmp_path / name).unlink()
    before = set(files(tmp_path))

    def cancel(done: float) -> None:
        if done > 0.1:
            raise Cancelled("The job was cancelled")

    with pytest.raises(Cancelled):
        run(tmp_path, stage, cancel, **facts)
    assert set(files(tmp_path)) == before


@pytest.mark.parametrize("stage", [
    "encode/vocals" if name == "encode" else name
    for name in STAGES if name not in ("probe", "describe")
])
def test_every_stage_says_how_far_it_is(tmp_path: Path, stage: str) -> None:
    facts = run_all(tmp_path, song(8)).facts
    heard: list[float] = []
    run(tmp_path, stage, heard.append, **facts)
    assert len(heard) >= 6  # of 8 seconds
    assert heard == sorted(heard)
    assert 0 <= heard[0] <= heard[-1] <= 1
    assert heard[-1] > 0.8


def encoded(folder: Path, track: str, peak: float, **options: str) -> Result:
    """The stage `encode/<track>` of a StemSplit job."""
    order = task(folder, f"encode/{track}", peak=peak)
    return finish(STAGES["encode"](replace(order, options=replace(order.options, **options))))


@pytest.mark.parametrize(("format", "wav_format", "error"), [
    ("WAV", "PCM_16", 2**-16), ("WAV", "FLOAT", 1e-7), ("FLAC", "PCM_24", 2**-24),
    ("MP3", "PCM_16", None),
])
def test_each_track_is_encoded_with_the_gain_of_all(
    tmp_path: Path, format: str, wav_format: str, error: float | None
) -> None:
    (tmp_path / "scratch").mkdir()
    loud = song(3)
    loud *= 1.25 / np.abs(loud).max()
    gain = CEILINGS[format] / 1.25
    for track, stem in (("vocals", loud), ("instrumental", loud / 5)):
        write_mix(tmp_path / "scratch" / f"{track}.f32", stem)
        result = encoded(tmp_path, track, 1.25, format=format, wav_format=wav_format)
        path = f"{track}.{format.lower()}"
        data = (tmp_path / "outputs" / path).read_bytes()
        assert result.tracks == {track: FinishedTrack(path, len(data), zlib.crc32(data))}
        assert result.facts == {"gain": pytest.approx(gain)}
        back = read(tmp_path, result, track)
        assert back.shape == stem.shape
        if error is None:
            assert np.vdot(stem, back) / np.vdot(stem, stem) == pytest.approx(gain, rel=0.01)
        else:
            assert np.abs(back - gain * stem).max() <= error + 1e-7
    assert len(list((tmp_path / "outputs").iterdir())) == 2


def test_measuring_says_what_the_probe_says_and_the_true_length(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    write_sound(tmp_path / "scratch" / "input", song(2), 22050, format="FLAC")
    facts = run(tmp_path, "measure").facts
    assert facts == run(tmp_path, "probe").facts | {"frames": 4 * RATE}
    assert run(tmp_path, "decode").facts["frames"] == facts["frames"]


def test_describing_gives_facts_that_can_be_sent(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    write_mix(tmp_path / "scratch" / "mix.f32", song(8))
    heard: list[float] = []
    facts = run(tmp_path, "describe", heard.append).facts
    assert facts == {"bpm": pytest.approx(120, abs=0.5), "key": "A"}, "what the song is made of"
    assert msgspec.json.decode(msgspec.json.encode(facts)) == facts
    assert len(heard) >= 2 and heard == sorted(heard)
