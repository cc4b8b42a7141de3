"""Sung voices alone: throughout, at one level, by number, gone on with where they were."""

import json
from types import MappingProxyType

import numpy as np
import pytest

from server.starter.played.orchestra import Orchestra
from server.starter.played.repertoire import Repertoire
from server.starter.recorded import singing
from server.starter.recorded.accompaniment import LEVEL
from server.starter.recorded.singing import open_singing, sung_throughout, write_clip
from server.starter.synthesis.effects import active_rms
from server.starter.synthesis.score import compose
from tests.starter.material import SR, tone


class Hummers(Orchestra):
    """An orchestra that hums every note of a tune at its pitch."""

    def play(self, role, notes, rng, n, sr):
        assert role == "vocals"
        x = np.zeros((2, n), np.float32)
        for note in notes:
            a, b = int(note.start * sr), int((note.start + note.length) * sr)
            hertz = 440.0 * 2.0 ** ((note.pitch - 69.0) / 12.0)
            x[:, a:b] = tone(n / sr, hertz, sr).T[:, a:b]
        return x


HUMMERS = Hummers(1.0, {}, ())


def sung(row: int) -> np.ndarray:
    bank = np.zeros((row + 1, 2, 4 * SR), np.float16)
    write_clip(HUMMERS, bank, row)
    assert not bank[:row].any()
    return bank[row].astype(np.float32)


def test_every_clip_is_sung_at_one_level_and_its_own():
    one, other = sung(0), sung(1)
    for clip in (one, other):
        assert active_rms(clip, SR) == pytest.approx(LEVEL, rel=0.02)
        seconds = [np.abs(x).max() for x in np.split(clip, 4, axis=1)]
        assert min(seconds) > 0.01
    np.testing.assert_array_equal(one, sung(0))
    assert not np.array_equal(one, other)


def test_no_section_rests():
    score = compose(np.random.default_rng(0), 60.0)
    assert any("vocals" not in section.parts for section in score.sections)
    assert all("vocals" in section.parts for section in sung_throughout(score).sections)


def test_the_bank_says_what_it_holds_and_is_gone_on_with(tmp_path, monkeypatch):
    everybody = Orchestra(0.1, MappingProxyType({"choir": ()}), ())  # which no process is sent
    monkeypatch.setattr(singing, "repertoire", lambda: Repertoire(everybody, {}))
    monkeypatch.setattr(singing, "Orchestra", Hummers)
    part = np.memmap(tmp_path / "v.part", np.float16, "w+", shape=(2, 2, SR))
    part[0] = 0.5
    part.flush()
    (tmp_path / "v.done").write_text("0\n")
    bank = open_singing(tmp_path / "v.f16", 2, length=1.0)
    assert bank.shape == (2, 2, SR) and (bank[0] == 0.5).all() and bank[1].any()
    assert json.loads((tmp_path / "v.json").read_text()) == ["vocals"]
    monkeypatch.setattr(singing, "repertoire", None)
    assert open_singing(tmp_path / "v.f16", 2, length=1.0).equal(bank)
