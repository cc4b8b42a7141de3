"""Accompaniments: clips of albums at one level, resumed, and nothing that measures in training."""

import json

import numpy as np
import pytest
import torch

from server.starter.recorded import accompaniment, albums, places
from server.starter.recorded.accompaniment import LEVEL, open_accompaniment
from server.starter.recorded.albums import ALBUMS, Album, tracks
from server.starter.synthesis.effects import active_rms
from tests.starter.material import SR, tone, write_sound


@pytest.fixture
def music(tmp_path, monkeypatch):
    """Two albums: four tracks for training, of which one is left out, and one kept from it."""
    root = tmp_path / "material"
    for name, length, hertz, gain in (("a", 2.5, 300, 0.5), ("b", 1.2, 500, 0.02), ("c", 0.4, 9, 1),
                                      ("song", 3.0, 700, 0.5)):  # fmt: skip
        write_sound(root / f"tunes/usr/t/{name}.flac", tone(length, hertz, gain=gain))
    write_sound(root / "tunes/usr/u/held.flac", tone(2.0, 1000))
    mine = (Album("t", "tunes", "usr/t", "*.flac", "song thunder"),
            Album("u", "tunes", "usr/u", "*.flac", heard=False),
            Album("v", "absent", "usr/v", "*.flac"))  # fmt: skip
    monkeypatch.setattr(albums, "ALBUMS", mine)
    monkeypatch.setattr(places, "SYSTEM", tmp_path / "nowhere")
    monkeypatch.setenv(places.VARIABLE, str(root))
    return root


def pitch(clip: torch.Tensor) -> float:
    """The loudest frequency of a clip (2, n), in Hz."""
    spectrum = np.abs(np.fft.rfft(clip[0].float().numpy()))
    return float(spectrum.argmax() * SR / clip.shape[1])


def test_three_albums_are_kept_for_measuring():
    assert sum(not album.heard for album in ALBUMS) == 3
    assert len({album.name for album in ALBUMS}) == len(ALBUMS)


def test_clips_are_cut_around_the_middle_and_levelled(tmp_path, music):
    bank = open_accompaniment(tmp_path / "bank.f16", length=1.0)
    assert bank.shape == (3, 2, SR) and bank.dtype == torch.float16
    assert [round(pitch(clip)) for clip in bank] == [300, 300, 500]
    for clip in bank:
        assert active_rms(clip.float().numpy(), SR) == pytest.approx(LEVEL, rel=0.02)
    assert json.loads((tmp_path / "bank.json").read_text()) == ["instrumental"]


def test_what_measures_is_not_in_training(tmp_path, music):
    assert [track.name for track in tracks(heard=True)] == ["a", "b", "c"]
    assert [track.name for track in tracks(heard=False)] == ["held"]
    held = open_accompaniment(tmp_path / "held.f16", length=1.0, heard=False)
    assert [round(pitch(clip)) for clip in held] == [1000, 1000]


def test_what_measures_is_there_as_a_whole_or_not_at_all(music, monkeypatch):
    one_more = (*albums.ALBUMS, Album("w", "lost", "usr/w", "*.flac", heard=False))
    monkeypatch.setattr(albums, "ALBUMS", one_more)
    with pytest.raises(FileNotFoundError, match="apt-get install lost"):
        tracks(heard=False)
    assert len(tracks(heard=True)) == 3


def test_a_bank_goes_on_where_it_was_cut_off(tmp_path, music):
    whole = open_accompaniment(tmp_path / "whole.f16", length=1.0)
    part = np.memmap(tmp_path / "cut.part", np.float16, "w+", shape=tuple(whole.shape))
    part[:2] = 0.5
    part.flush()
    (tmp_path / "cut.done").write_text("0\n")  # the first track has both clips
    cut = open_accompaniment(tmp_path / "cut.f16", length=1.0)
    assert (cut[:2] == 0.5).all() and torch.equal(cut[2], whole[2])
    assert not (tmp_path / "cut.done").exists() and not (tmp_path / "cut.part").exists()


def test_a_made_bank_opens_without_the_music(tmp_path, music, monkeypatch):
    made = open_accompaniment(tmp_path / "bank.f16", length=1.0).clone()
    monkeypatch.delenv(places.VARIABLE)
    assert torch.equal(open_accompaniment(tmp_path / "bank.f16", length=1.0), made)
    with pytest.raises(FileNotFoundError, match="apt-get install tunes absent"):
        open_accompaniment(tmp_path / "other.f16", length=1.0)
    with pytest.raises(ValueError, match="rows of shape"):
        open_accompaniment(tmp_path / "bank.f16", length=0.7)


def test_a_broken_track_leaves_silence_and_is_named(tmp_path, music, capsys):
    cut = accompaniment.plan(tracks(heard=True), 1.0)[1]
    path = cut.track.path
    path.write_bytes(path.read_bytes()[:20])
    bank = np.zeros((3, 2, SR), np.float16)
    accompaniment.write_clips(bank, cut)
    assert not bank.any() and "b is left out" in capsys.readouterr().out


def test_silence_stays_silence():
    assert not accompaniment.levelled(np.full((2, SR), 1e-5, np.float32)).any()
