"""FreePats as instruments recorded note by note: what is given to TiMidity++, and what is found."""

import shutil

import numpy as np
import pytest
import soundfile

from server.starter.played import patches
from server.starter.played.midi import read_midi
from server.starter.played.sampled import recorded_instruments
from server.starter.recorded import places
from tests.starter.material import SR, tone, write_sound


@pytest.fixture
def material(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "SYSTEM", tmp_path / "nowhere")
    monkeypatch.setenv(places.VARIABLE, str(tmp_path))
    config = tmp_path.joinpath(*patches.CONFIG)
    config.parent.mkdir(parents=True)
    config.touch()
    return tmp_path


def test_each_key_is_held_and_let_go_before_the_next():
    (part,) = read_midi(patches.one_by_one(27, range(40, 53, 4)))
    assert part.program == 27 and not part.drums
    assert [note.pitch for note in part.notes] == [40, 44, 48, 52]
    assert [note.start for note in part.notes] == pytest.approx([0.0, 7.0, 14.0, 21.0])
    assert {round(note.length, 6) for note in part.notes} == {5.0}


def test_the_rendering_is_cut_into_keys(material, monkeypatch):
    def timidity(command, cwd, **_):
        assert (cwd / command[2]).exists()
        seconds = patches.APART * 9  # bass: D1 to A#3 by four semitones
        time = np.arange(int(seconds * SR)) / SR
        hertz = 100.0 * (1 + time // patches.APART)
        soundfile.write(command[-2], 0.1 * np.sin(2 * np.pi * hertz * time), SR)

    monkeypatch.setattr(patches.subprocess, "run", timidity)
    folder = material / patches.NOTES / "33"
    patches.render(material.joinpath(*patches.CONFIG), 33, "bass", folder)
    names = [f"{name}{octave}" for octave in (1, 2, 3) for name in ("D", "F#", "A#")]
    assert {file.stem for file in folder.iterdir()} == set(names)
    for i, name in enumerate(names):
        sound, sr = soundfile.read(folder / f"{name}.ogg", frames=patches.SR)
        assert np.abs(np.fft.rfft(sound[:, 0])).argmax() == pytest.approx(100 * (1 + i), abs=2)
        assert sr == patches.SR


def test_notes_that_were_made_are_instruments(material):
    write_sound(material / patches.NOTES / "33" / "A1.ogg", tone(1.0, 55.0))
    assert {role: [set(one) for one in found] for role, found in recorded_instruments().items()} \
        == {"bass": [{33}]}  # fmt: skip


def test_what_is_missing_is_said(material, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(FileNotFoundError, match="apt-get install timidity"):
        patches.main()
