"""Notes through FluidSynth: in tune, in time, equal each time."""

from pathlib import Path

import numpy as np
import pytest

from server.starter.played import fonts
from server.starter.played.fonts import (
    BEND,
    OFF,
    ON,
    Event,
    Manner,
    Preset,
    bend_events,
    key_events,
)
from server.starter.synthesis.score import Note

SR = 44100
FONTS = ["/usr/share/sounds/sf2/TimGM6mb.sf2", "/usr/share/sounds/sf2/FluidR3_GM.sf2"]
PIANO, OCARINA, ORGAN = 0, 79, 19


@pytest.fixture(params=FONTS)
def font(request):
    if not (Path(request.param).is_file() and fonts.installed()):
        pytest.skip("needs FluidSynth and its font")
    return request.param


def play(font: str, program: int, notes: list[Note], seconds: float = 1.0, **manner) -> np.ndarray:
    """Notes on a program of bank 0."""
    preset = Preset(font, 0, program)
    return fonts.play_notes(preset, notes, Manner(**manner), round(seconds * SR), SR)


def hertz_of(x: np.ndarray, near: float) -> float:
    """The strongest frequency within a whole tone of `near`."""
    size = 1 << 20
    power = np.abs(np.fft.rfft(x * np.hanning(len(x)), size))
    low, high = (int(near * 2 ** (side / 6) * size / SR) for side in (-1, 1))
    return (low + int(np.argmax(power[low:high]))) * SR / size


@pytest.mark.parametrize("pitch", [64, 69, 76.3])
@pytest.mark.parametrize("cents", [0.0, -60.0, 120.0])
def test_notes_are_in_tune(font, pitch, cents):
    x = play(font, OCARINA, [Note(0.0, 1.0, pitch, 0.8)], cents=cents).mean(0)
    asked = 440.0 * 2 ** ((round(pitch) - 69 + cents / 100) / 12)
    assert abs(1200 * np.log2(hertz_of(x[11025:], asked) / asked)) < 12


@pytest.mark.parametrize("sr", [22050, 44100, 48000])
def test_notes_begin_in_time_at_any_rate(font, sr):
    notes = [Note(0.3, 0.2, 60.0, 1.0)]
    x = np.abs(fonts.play_notes(Preset(font, 0, PIANO), notes, Manner(), sr, sr)).max(0)
    first = int(np.argmax(x > 1e-4))
    assert 0.3 * sr - 32 <= first < 0.3 * sr + 256
    assert x.shape == (sr,)


def test_notes_end_and_what_lies_past_the_end_is_cut(font):
    notes = [Note(0.1, 0.4, 60.0, 0.8), Note(1.4, 5.0, 64.0, 0.8), Note(9.0, 1.0, 60.0, 0.8)]
    x = play(font, ORGAN, notes, 1.5)
    assert np.abs(x[:, 60000:61000]).max() < 0.05 * np.abs(x[:, 8820:22050]).max()
    assert np.abs(x[:, -1000:]).max() > 0.001 and x.shape == (2, 66150)


def test_a_key_struck_again_sounds_on(font):
    notes = [Note(0.0, 0.6, 60.0, 0.8), Note(0.5, 0.5, 60.0, 0.8)]
    x = play(font, ORGAN, notes)
    assert x[:, 35280:42000].std() > 0.5 * x[:, 8820:17640].std()


def test_equal_arguments_give_equal_samples(font):
    notes = [Note(0.1 * k, 0.3, 50.0 + 3 * k, 0.7) for k in range(9)]
    manner = {"vibrato_cents": 20.0, "reverb": 0.5, "chorus": 0.5}
    first = play(font, PIANO, notes, **manner)
    play(font, ORGAN, notes[:3])
    assert first.dtype == np.float32
    np.testing.assert_array_equal(play(font, PIANO, notes, **manner), first)


def test_reverb_rings_on_and_is_off_unless_asked_for(font):
    notes = [Note(0.0, 0.2, 60.0, 0.8)]
    dry, wet = (play(font, OCARINA, notes, reverb=r)[:, 22050:].std() for r in (0.0, 1.0))
    assert dry < 0.1 * wet


def test_loudness_follows_velocity(font):
    soft, loud = (np.abs(play(font, OCARINA, [Note(0, 1, 70, v)])).max() for v in (0.25, 1.0))
    assert 2.5 < loud / soft < 6.0


def test_what_is_not_there_is_said(font, tmp_path):
    with pytest.raises(ValueError, match="not in its font"):
        fonts.play_notes(Preset(font, 77, 3), [], Manner(), SR, SR)
    (tmp_path / "broken.sf2").write_bytes(b"RIFF")
    for name in ("none.sf2", "broken.sf2"):
        with pytest.raises(FileNotFoundError, match=name):
            fonts.play_notes(Preset(str(tmp_path / name), 0, 0), [], Manner(), SR, SR)


def test_the_synthesiser_keeps_quiet(font, capfd):
    with pytest.raises(ValueError, match="not in its font"):
        fonts.play_notes(Preset(font, 77, 3), [], Manner(), SR, SR)
    play(font, PIANO, [Note(0.0, 0.1, 60.0, 1.0)])
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_a_key_is_let_go_before_it_is_struck_again():
    notes = [Note(0.0, 2.0, 60.2, 1.0), Note(1.0, 0.5, 59.9, 0.25)]
    events = sorted(key_events(notes, Manner(), 6400))
    assert events == [Event(0, ON, (60, 127)), Event(6400, OFF, (60,)), Event(6400, ON, (60, 64)),
                      Event(9600, OFF, (60,))]  # fmt: skip


def test_vibrato_swings_about_the_pitch_once_the_note_has_settled():
    manner = Manner(cents=10.0, vibrato_cents=50.0)
    events = bend_events([Note(0.5, 1.0, 60.0, 1.0)], manner, 2 * SR, SR)
    at = np.array([event.at for event in events]) / SR
    cents = np.array([event.args[0] for event in events]) * 200 / 8192
    assert all(event.kind == BEND for event in events)
    np.testing.assert_allclose(cents[(at > 0.5) & (at < 0.62)], 10.0, atol=0.1)
    settled = cents[at > 1.0]
    assert settled.max() == pytest.approx(60, abs=2) and settled.min() == pytest.approx(-40, abs=2)
