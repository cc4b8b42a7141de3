"""Who plays what: roles given to the orchestra, notes that guitarists and speakers make."""

from itertools import pairwise

import numpy as np
import pytest

from server.starter import songs
from server.starter.songs import STEMS, synthesise
from server.starter.synthesis.drums import KEYS, drum_part, fill
from server.starter.synthesis.fretting import STRINGS, fretted, strummed
from server.starter.synthesis.parts import pedalled, recited
from server.starter.synthesis.score import Note, Score, Section, compose

SR = 22050
ROLES = {
    "drums": {"drums"}, "bass": {"bass"}, "guitar": {"guitar"}, "piano": {"piano"},
    "vocals": {"vocals"},
    "other": {"strings", "brass", "winds", "organ", "pad", "lead", "mallets"},
}  # fmt: skip
SONG = Score(120.0, 4, 4, 0.0, 0, (0, 2, 4, 5, 7, 9, 11), (
    Section("chorus", 0, 4, frozenset(("guitar", "vocals")), (0, 3, 4, 0)),
))  # fmt: skip


class Band:
    """An orchestra that hums noise and remembers what it was asked for."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.asked: list[tuple[str, list[Note]]] = []

    def play(self, role, notes, rng, n, sr):
        self.asked.append((role, notes))
        return rng.uniform(-1.0, 1.0, size=(2, n)).astype(np.float32)


def test_a_willing_orchestra_plays_every_part():
    band = Band(1.0)
    made = [synthesise(seed, 3.0, SR, band) for seed in range(12)]
    assert {role for role, _ in band.asked} == set().union(*ROLES.values())
    assert all(np.isfinite(x).all() for song in made for x in song.values())
    for _, notes in band.asked:
        assert all(m.start >= 0 and m.length > 0 and 0 < m.velocity <= 1 for m in notes)


@pytest.mark.parametrize("stem", STEMS)
def test_each_stem_asks_for_its_own_roles(stem, monkeypatch):
    alone = tuple((name, float(name == stem), *rest) for name, _, *rest in songs.RECORDED)
    monkeypatch.setattr(songs, "RECORDED", alone)
    band = Band(1.0)
    song = synthesise(3, 3.0, SR, band)
    assert {role for role, _ in band.asked} <= ROLES[stem] and band.asked
    assert all(x.any() == (name == stem) for name, x in song.items())


def test_an_unwilling_orchestra_is_never_asked():
    band = Band(0.0)
    synthesise(1, 2.0, SR, band)
    assert band.asked == []


def test_without_one_stem_the_others_are_as_before(monkeypatch):
    monkeypatch.setattr(songs, "finish", lambda song, rng, sr: song)
    whole = synthesise(2_000_003, 3.0, SR)
    without = tuple((name, 0.0 if name == "vocals" else chance, *rest)
                    for name, chance, *rest in songs.RECORDED)  # fmt: skip
    monkeypatch.setattr(songs, "RECORDED", without)
    less = synthesise(2_000_003, 3.0, SR)
    assert whole["vocals"].any() and not less["vocals"].any()
    assert all(np.array_equal(whole[name], less[name]) for name in STEMS if name != "vocals")


def test_stems_are_absent_as_often_as_in_songs():
    heard = np.mean([[x.any() for x in synthesise(s, 0.3, SR).values()] for s in range(60)], axis=0)
    for share, (_, chance, *_) in zip(heard, songs.RECORDED, strict=True):
        assert abs(share - chance) < 0.2
    assert (heard < 1.0).any()


@pytest.mark.parametrize("capo", [0, 5])
@pytest.mark.parametrize("degree", range(-3, 9))
def test_chords_lie_within_a_hand(degree, capo):
    tones = {SONG.pitch(degree + 2 * k) % 12 for k in range(3)}
    chord = fretted(SONG, degree, capo)
    assert {pitch % 12 for pitch in chord} <= tones
    assert all(0 <= p - nut - capo < 5 for p, nut in zip(chord, STRINGS, strict=True))


def test_strokes_go_down_on_the_beat_and_up_between():
    notes = strummed(SONG, np.random.default_rng(1), "guitar")
    firsts = [k for k in range(len(notes) - 1) if notes[k + 1].start - notes[k].start < 0.03
              and (k == 0 or notes[k].start - notes[k - 1].start > 0.03)]  # fmt: skip
    rising = {bool(notes[k].pitch < notes[k + 1].pitch) for k in firsts}
    assert rising == {True, False}
    for k in firsts:
        on_beat = min(notes[k].start % 0.5, 0.5 - notes[k].start % 0.5) < 0.05
        assert (notes[k].pitch < notes[k + 1].pitch) == on_beat


def test_speech_stays_near_its_pitch_and_pauses():
    notes = recited(SONG, np.random.default_rng(2), "vocals", 50.0)
    assert len(notes) > 10 and max(abs(m.pitch - 50.0) for m in notes) < 8.0
    assert all(b.start >= a.start + a.length for a, b in pairwise(notes))


def test_the_pedal_holds_notes_to_the_bar():
    held = pedalled(SONG, [Note(0.5, 0.1, 60.0, 0.5), Note(2.0, 3.0, 60.0, 0.5)])
    assert held[0].start + held[0].length == pytest.approx(1.94)
    assert held[1].length == 3.0


@pytest.mark.parametrize("seed", range(12))
def test_drummers_know_their_kit_and_keep_to_the_song(seed):
    score = compose(np.random.default_rng(seed), 60.0)
    notes = drum_part(score, np.random.default_rng(seed))
    assert {m.pitch for m in notes} <= set(KEYS.values())
    last = max(s.first_bar + s.bars for s in score.sections)
    assert all(0.0 <= m.start < score.time(last, 0) + 0.1 and m.velocity <= 1.0 for m in notes)


def test_fills_lie_between_their_step_and_the_bar():
    for seed in range(40):
        hits = fill(SONG, np.random.default_rng(seed), 8)
        assert all(8 <= step < 16 and drum in KEYS for drum, step, _ in hits)
