"""Mixes of finished tracks: what is in them, where they begin and end, that they never clip."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from server.audio.rendering.mixdown import BLOCK, Part, Span, mixdown
from server.audio.writing.encode import CEILINGS, encode
from server.work.steps import finish

from .making import snr, song, write_mix

FRAMES = 2 * 44100
WHOLE = Span(0, FRAMES)


@pytest.fixture
def parts(tmp_path: Path) -> list[Part]:
    made = []
    for seed, (format, gain) in enumerate((("WAV", 0.5), ("FLAC", -0.25), ("WAV", 0.125))):
        source = write_mix(tmp_path / "s.f32", song(2, seed))
        path = tmp_path / f"{seed}.{format.lower()}"
        finish(encode(source, path, "PCM_16", format=format))
        made.append(Part(str(path), gain))
    return made


def total(parts: list[Part]) -> np.ndarray:
    return sum(soundfile.read(part.path)[0] * part.gain for part in parts)


@pytest.mark.parametrize("span", [WHOLE, Span(0, 1), Span(1234, 40_001), Span(FRAMES - 7, 7)])
@pytest.mark.parametrize(("format", "samples"), [("WAV", "FLOAT"), ("WAV", "PCM_16"),
                                                 ("FLAC", "PCM_24")])
def test_a_mix_is_the_sum_of_its_parts(
    tmp_path: Path, parts: list[Part], span: Span, format: str, samples: str
) -> None:
    target = tmp_path / "out" / "mix"
    finish(mixdown(parts, target, span, format, samples))
    found, rate = soundfile.read(target)
    assert rate == 44100
    wanted = total(parts)[span.start : span.start + span.frames]
    error = {"FLOAT": 1e-6, "PCM_16": 0.51 / 2**15, "PCM_24": 1e-6}[samples]
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= error


@pytest.mark.parametrize("format", ["WAV", "FLAC", "MP3"])
def test_a_mix_that_is_too_loud_is_scaled_as_a_whole(
    tmp_path: Path, parts: list[Part], format: str
) -> None:
    loud = [Part(part.path, 20 * part.gain) for part in parts]
    finish(mixdown(loud, tmp_path / "mix", WHOLE, format, "PCM_16"))
    found, _ = soundfile.read(tmp_path / "mix")
    wanted = total(parts)
    wanted *= CEILINGS[format] / np.abs(wanted).max()
    if format == "MP3":  # which adds its own noise, and leaves the ceiling some room for it
        assert snr(wanted, found) > 12
        assert np.vdot(wanted, found) / np.vdot(wanted, wanted) == pytest.approx(1, rel=0.02)
    else:
        assert snr(wanted, found) > 80
        assert 1 - 2**-14 <= np.abs(found).max() < 1


def test_it_says_how_far_it_is(tmp_path: Path, parts: list[Part]) -> None:
    told: list[float] = []
    finish(mixdown(parts, tmp_path / "mix", WHOLE, "WAV", "PCM_16"), told.append)
    assert told == sorted(told)
    assert 0 < told[0] < 0.5 < told[-1] == 1
    assert len(told) == 2 * -(-FRAMES // BLOCK)


def test_no_part_at_all_is_silence(tmp_path: Path) -> None:
    finish(mixdown([], tmp_path / "mix", Span(0, 100), "WAV", "PCM_16"))
    assert not soundfile.read(tmp_path / "mix")[0].any()


def test_a_track_that_is_gone_or_too_short_leaves_nothing(
    tmp_path: Path, parts: list[Part]
) -> None:
    for wrong, error in ((Span(1, FRAMES), EOFError), (WHOLE, FileNotFoundError)):
        with pytest.raises(error):
            finish(mixdown(parts, tmp_path / "out" / "mix", wrong, "WAV", "PCM_16"))
        assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
        Path(parts[1].path).unlink(missing_ok=True)
