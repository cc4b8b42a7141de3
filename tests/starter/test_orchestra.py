"""Who plays what: every preset exists, every role sounds, nothing unheard is in training."""

import numpy as np
import pytest

from server.starter.played import fonts, orchestra, singers
from server.starter.played.fonts import Preset
from server.starter.played.orchestra import on_kit, pieces, strummed
from server.starter.played.programs import PROGRAMS
from server.starter.played.speakers import Voice
from server.starter.recorded import places
from server.starter.synthesis.score import Note

SR = 44100
DRUM_KEYS = (35, 36, 37, 38, 39, 40, 41, 42, 44, 45, 46, 47, 48, 49, 50, 51, 53, 57, 70)
ROLES = (*PROGRAMS, "drums")
TUNE = [Note(0.1 * k, 0.2, pitch, 0.8) for k, pitch in enumerate((36, 42, 38, 46, 48, 36))]


@pytest.fixture(params=["training", "unheard"])
def side(request):
    """One of the two orchestras, without its voices."""
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(orchestra, "voices", lambda heard: ())
            return getattr(orchestra, f"{request.param}_orchestra")()
    except FileNotFoundError as reason:
        pytest.skip(str(reason))


def play(side, role: str, seed: int) -> np.ndarray:
    return side.play(role, TUNE, np.random.default_rng(seed), SR, SR)


@pytest.mark.parametrize("role", ROLES)
def test_every_role_sounds_and_the_seed_decides_how(side, role):
    first, again, other = (play(side, role, seed) for seed in (1, 1, 2))
    assert first.shape == (2, SR) and first.dtype == np.float32
    assert np.abs(first).max() == pytest.approx(1.0)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_every_preset_is_in_its_font(side):
    presets = {preset for choices in side.presets.values() for preset in choices}
    note = [Note(0.0, 0.1, 48.0, 0.8)]
    for preset in presets:
        assert fonts.play_notes(preset, note, fonts.Manner(), 4410, SR).any(), preset


def test_every_kit_has_the_drums(side):
    for kit in {choice for choice in side.presets["drums"] if choice.program in (0, 25)}:
        for key in DRUM_KEYS:
            stroke = on_kit([Note(0.0, 0.1, key, 0.8)], kit)
            x = fonts.play_notes(kit, stroke, fonts.Manner(), 4410, SR)
            assert np.abs(x).max() > 0.005, (kit, key)


def test_rests_are_silent_and_roles_are_known(side):
    rng = np.random.default_rng(0)
    assert not side.play("drums", [], rng, 100, SR).any()
    assert not side.play("piano", [], rng, 100, SR).any()
    with pytest.raises(KeyError):
        side.play("kazoo", TUNE, rng, 100, SR)


def test_training_never_hears_the_unheard():
    try:
        ours, theirs = orchestra.training_orchestra(), orchestra.unheard_orchestra()
    except (FileNotFoundError, ImportError) as reason:
        pytest.skip(str(reason))
    used = [{preset.font for choices in o.presets.values() for preset in choices}
            for o in (ours, theirs)]  # fmt: skip
    assert not used[0] & used[1]
    assert not set(ours.voices) & set(theirs.voices)


def test_a_voice_sings():
    try:
        choir = orchestra.training_orchestra()
    except (FileNotFoundError, ImportError) as reason:
        pytest.skip(str(reason))
    notes = [Note(0.1, 0.5, 57.0, 0.8), Note(0.7, 0.5, 60.0, 0.8)]
    x = choir.play("vocals", notes, np.random.default_rng(3), 2 * SR, SR)
    assert x.shape == (2, 2 * SR) and x.dtype == np.float32
    assert np.abs(x).max() == pytest.approx(1.0)


@pytest.mark.parametrize(("side", "package"), [
    ("training", "fluid-soundfont-gm avldrums"), ("unheard", "timgm6mb-soundfont avldrums"),
])  # fmt: skip
def test_what_must_be_installed_is_said(tmp_path, monkeypatch, side, package):
    monkeypatch.setattr(places, "SYSTEM", tmp_path)
    monkeypatch.delenv(places.VARIABLE, raising=False)
    with pytest.raises(FileNotFoundError, match=package):
        getattr(orchestra, f"{side}_orchestra")()


def test_a_strum_spreads_chords_and_leaves_single_notes():
    notes = [Note(1.0, 0.5, pitch, 0.8) for pitch in (52, 59, 64)] + [Note(2.0, 0.5, 70, 0.8)]
    directions = set()
    for seed in range(20):
        played = sorted(strummed(notes, np.random.default_rng(seed)))
        assert played[0].start == 1.0 and played[-1] == notes[-1]
        assert 0.003 < played[2].start - 1.0 < 0.04
        directions.add(played[0].pitch)
    assert directions == {52, 64}


def test_strokes_go_to_their_piece_and_ring():
    notes = [Note(0.0, 0.1, pitch, 0.8) for pitch in (36, 38, 42, 48, 70)]
    assert [[m.pitch for m in piece] for piece in pieces(notes)] == [[36], [38], [42, 48, 70]]
    assert [m.pitch for m in on_kit(notes, Preset("kit", 0, 0))] == [36, 38, 42, 45, 54]
    assert [m.pitch for m in on_kit(notes, Preset("gm", 128, 0))] == [36, 38, 42, 48, 70]
    assert min(m.length for m in on_kit(notes, Preset("gm", 128, 0))) > 10


@pytest.fixture
def who(monkeypatch):
    """Who sang: voices by name, choirs as "choir"."""
    sang = []

    def sing(voice, notes, n, sr, rng):
        sang.append(voice.name)
        return np.ones(n, np.float32)

    def play(preset, notes, manner, n, sr):
        sang.append(preset.font)
        return np.ones((2, n), np.float32)

    monkeypatch.setattr(singers, "sing_words", sing)
    monkeypatch.setattr(fonts, "play_notes", play)
    return sang


def test_recorded_people_sing_most_and_a_choir_now_and_then(who):
    voices = [Voice(f"{kind}-{k}", kind, "", 50, 70)
              for kind in ("espeak", "flite", "recorded") for k in range(2)]  # fmt: skip
    side = orchestra.Orchestra(1.0, {"choir": (Preset("choir", 0, 52),)}, tuple(voices))
    rng = np.random.default_rng(0)
    for _ in range(600):
        assert side.play("vocals", TUNE, rng, 10, SR).shape == (2, 10)
    kinds = {kind: np.mean([name.startswith(kind) for name in who])
             for kind in ("recorded", "espeak", "flite", "choir")}  # fmt: skip
    assert kinds["recorded"] == pytest.approx(5 / 7, abs=0.1)
    assert kinds["espeak"] == pytest.approx(kinds["flite"], abs=0.06)
    assert 0.02 < kinds["choir"] < 0.12
    assert set(who) == {"choir", *(voice.name for voice in voices)}


def test_without_choirs_or_recordings_the_synthesisers_sing(who):
    side = orchestra.Orchestra(1.0, {}, (Voice("a", "espeak", "", 50, 70),))
    side.play("vocals", TUNE, np.random.default_rng(0), 10, SR)
    assert who == ["a"]


def test_what_measures_as_before_has_no_recorded_voices(monkeypatch):
    kept = (Voice("flite-slt", "flite", "slt", 55, 76, False),
            Voice("tuxpaint-es", "recorded", "tuxpaint-es", 55, 76, False))  # fmt: skip
    monkeypatch.setattr(orchestra, "voices", lambda heard: kept)
    monkeypatch.setattr(orchestra, "require", lambda *wanted: ["a.sf2", "b.sf2"])
    assert orchestra.unheard_orchestra().voices == kept[:1]
