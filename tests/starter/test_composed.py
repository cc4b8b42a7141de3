"""Composed songs: MIDI files become notes in seconds, parts become stems, a tune is sung."""

import numpy as np
import pytest

from server.starter.played import composed, fonts, midi, repertoire
from server.starter.played.composed import by_stem, draw_tune, excerpt, is_tune, play_composed
from server.starter.played.midi import Part, composed_songs, read_midi
from server.starter.played.orchestra import Orchestra
from server.starter.recorded import places
from server.starter.songs import STEMS
from server.starter.synthesis.score import Note
from tests.starter import material

SR = 44100


def test_times_follow_the_tempo_and_its_changes():
    tempo = b"\x00\xff\x51\x03" + (500_000).to_bytes(3, "big")
    slower = material.quantity(480) + b"\xff\x51\x03" + (1_000_000).to_bytes(3, "big")
    data = material.midi(
        tempo + slower + b"\x00\xff\x2f\x00", material.line(0, 33, [40, 41, 42], 240)
    )
    (part,) = read_midi(data)
    assert part.program == 33 and not part.drums
    assert [note.pitch for note in part.notes] == [40, 41, 42]
    assert [note.start for note in part.notes] == pytest.approx([0.0, 0.25, 0.5])
    assert [note.length for note in part.notes] == pytest.approx([0.25, 0.25, 0.5])


def test_channels_and_programs_are_parts_and_the_tenth_is_drums():
    data = material.midi(
        material.line(0, 0, [60]), material.line(9, 0, [36]), material.line(3, 30, [50])
    )
    assert [(p.program, p.drums) for p in read_midi(data)] == [(0, False), (30, False), (0, True)]


def test_velocity_volume_and_expression_are_amplitudes():
    track = bytes((0, 0xB0, 7, 127, 0, 0xB0, 11, 64, 0, 0x90, 60, 127, 96, 0x80, 60, 0))
    (part,) = read_midi(material.midi(track))
    assert part.notes[0].velocity == pytest.approx((64 / 127) ** 2)


@pytest.mark.parametrize(
    "data", [b"", b"RIFF" + bytes(20), b"MThd", b"MThd\0\0\0\6\0\1\0\1\xe7\x28"]
)
def test_what_is_no_midi_file_is_refused(data):
    with pytest.raises(ValueError, match="MIDI"):
        read_midi(data)


def test_broken_tracks_keep_what_they_had():
    whole = material.line(0, 0, [60, 62, 64])
    for cut in range(len(whole)):
        for part in read_midi(material.midi(whole[:cut])):
            assert len(part.notes) <= 3
    assert read_midi(material.midi(b"\x00\x91")) == []
    assert read_midi(material.midi(whole)[:-9])[0].notes


def test_songs_are_found_in_folders_and_archives_and_some_are_kept(tmp_path, monkeypatch):
    folder = tmp_path / "openttd-openmsx" / midi.COMPOSED[0][1]
    folder.mkdir(parents=True)
    files = {name: material.midi(material.line(0, 0, [key]))
             for key, name in enumerate(("new", "city_blues_redfarn"), 60)}  # fmt: skip
    for name, data in files.items():
        (folder / f"{name}.mid").write_bytes(data)
    archive = tmp_path / "freedoom" / midi.COMPOSED[1][1]
    archive.parent.mkdir(parents=True)
    lumps = {"MAP01": b"abc", "D_E1M1": material.midi(), "D_NEW": material.midi(b"\0"),
             "D_AGAIN": files["new"]}  # fmt: skip
    archive.write_bytes(material.wad(lumps))
    monkeypatch.setattr(places, "SYSTEM", tmp_path / "nowhere")
    monkeypatch.setenv(places.VARIABLE, str(tmp_path))
    assert composed_songs(heard=True) == {"new": files["new"], "D_NEW": lumps["D_NEW"]}
    assert set(composed_songs(heard=False)) == {"city_blues_redfarn", "D_E1M1"}
    monkeypatch.delenv(places.VARIABLE)
    with pytest.raises(FileNotFoundError, match="openttd-openmsx freedoom"):
        composed_songs(heard=True)


def test_ten_songs_are_kept_from_training():
    assert len(midi.UNHEARD) == 10


def tune(step: float = 0.4, count: int = 20, pitch: float = 64.0) -> list[Note]:
    return [Note(step * k, 0.9 * step, pitch + k % 5, 0.8) for k in range(count)]


def test_parts_go_to_the_stems_of_their_programs():
    parts = [Part(program, False, tune()) for program in (0, 30, 33, 48, 53, 118, 125)]
    found = by_stem([*parts, Part(0, True, tune())])
    assert {stem: [(p.program, p.drums) for p in inside] for stem, inside in found.items()} == {
        "drums": [(118, False), (0, True)], "bass": [(33, False)], "other": [(48, False)],
        "vocals": [(53, False)], "guitar": [(30, False)], "piano": [(0, False)],
    }  # fmt: skip
    assert list(found) == [stem for stem in STEMS if stem in found]


def test_what_can_be_sung():
    assert is_tune(tune())
    assert not is_tune(tune(count=5))
    assert not is_tune(tune(step=0.1))  # too fast
    assert not is_tune(tune(pitch=30.0))
    assert not is_tune(sorted(tune() + tune(pitch=67.0)))  # chords


def test_a_tune_leaves_its_stem_for_the_singer(monkeypatch):
    lead, chords = Part(73, False, tune()), Part(48, False, sorted(tune() + tune(pitch=67.0)))
    monkeypatch.setattr(composed, "SUNG", 1.0)
    arranged = {"other": [chords, lead], "bass": [Part(33, False, tune(pitch=60.0))]}
    assert draw_tune(arranged, np.random.default_rng(0)) == lead
    assert arranged["other"] == [chords] and len(arranged["bass"]) == 1
    assert draw_tune({"other": [chords]}, np.random.default_rng(0)) is None


def test_an_excerpt_is_where_the_song_plays():
    late = [note._replace(start=note.start + 100.0) for note in tune()]
    for seed in range(10):
        (part,) = excerpt([Part(0, False, late)], 4.0, np.random.default_rng(seed))
        assert all(0.0 <= note.start < 4.0 for note in part.notes) and len(part.notes) >= 4
    assert excerpt([], 4.0, np.random.default_rng(0)) == []


@pytest.fixture
def band(monkeypatch):
    """An orchestra whose instruments are tones, each role or program with a pitch of its own."""
    roles = ("bass", "guitar", "piano", "strings")
    presets = {role: (fonts.Preset("tones.sf2", 0, 0),) for role in roles}

    def tones(preset, notes, manner, n, sr):
        return 0.3 * material.tone(n / sr, 100.0 + 10 * preset.program, sr).T.astype(np.float32)

    def play(self, role, notes, rng, n, sr):
        hertz = {"drums": 2000.0, "vocals": 3000.0, "piano": 100.0}[role]
        return 0.3 * material.tone(n / sr, hertz, sr).T.astype(np.float32)

    monkeypatch.setattr(fonts, "play_notes", tones)
    monkeypatch.setattr(Orchestra, "play", play)
    return Orchestra(1.0, presets, ())


def loudest(x: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(x.mean(0))).argmax() * SR / x.shape[1])


def test_a_file_becomes_six_stems(band, monkeypatch):
    monkeypatch.setattr(composed, "SUNG", 1.0)
    monkeypatch.setattr(composed, "FEWEST", 4)
    data = material.midi(
        material.line(0, 0, [30, 31] * 20), material.line(1, 33, [40, 41] * 20),
        material.line(2, 73, [64, 66] * 20, 400), material.line(9, 0, [36, 38] * 20),
    )  # fmt: skip
    song = play_composed(data, 3.0, SR, band, np.random.default_rng(2))
    again = play_composed(data, 3.0, SR, band, np.random.default_rng(2))
    assert tuple(song) == STEMS
    assert all(x.shape == (2, 3 * SR) and x.dtype == np.float32 for x in song.values())
    assert {stem for stem, x in song.items() if x.any()} == {"drums", "bass", "piano", "vocals"}
    assert 0.1 < np.abs(sum(song.values())).max() < 1.0
    assert loudest(song["bass"]) == pytest.approx(430.0, abs=15.0)
    assert loudest(song["piano"]) == pytest.approx(100.0, abs=15.0)
    assert all(np.array_equal(song[stem], again[stem]) for stem in STEMS)
    with pytest.raises(ValueError, match="plays nothing"):
        play_composed(material.midi(), 3.0, SR, band, np.random.default_rng(0))


def test_a_font_plays_in_its_own_roles_alone():
    """GeneralUser shares a tuba and a celesta with a font that is kept from training."""
    everywhere, bass_alone = fonts.Preset("a.sf2", 0, 0), fonts.Preset("b.sf2", 0, 0)
    presets = dict.fromkeys(("guitar", "piano", "strings", "brass"), (everywhere,))
    orchestra = Orchestra(1.0, presets | {"bass": (everywhere, bass_alone)}, ())
    for stem, program, heard in (("bass", 33, ["a.sf2", "b.sf2"]), ("other", 58, ["a.sf2"]),
                                 ("guitar", 25, ["a.sf2"]), ("vocals", 52, ["a.sf2"])):  # fmt: skip
        found = [*composed.of_program(program, stem, orchestra)]
        assert [preset.font for preset in found] == heard
        assert {preset.program for preset in found} == {program}


def test_training_hears_composed_songs_and_the_projects_own(band, monkeypatch):
    data = material.midi(material.line(1, 33, [40, 41] * 20))
    heard = repertoire.Repertoire(band, {"only": data})
    monkeypatch.setattr(repertoire, "repertoire", lambda: heard)
    monkeypatch.setattr(repertoire, "synthesise", lambda *args: {"args": args})
    songs = [repertoire.training_song(seed, 1.0) for seed in range(12)]
    own = [song for song in songs if "args" in song]
    assert 3 < len(own) < 12
    assert own[0]["args"] == (songs.index(own[0]), 1.0, 44100, band)
    assert all(tuple(song) == STEMS for song in songs if "args" not in song)
