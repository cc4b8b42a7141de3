"""Examples: drawn by seed, of all banks by their shares, and treated as they should be."""

import json

import numpy as np
import pytest
import torch

from server.starter.songs import STEMS
from server.starter.training import examples
from server.starter.training.bank import SONG_SECONDS, SR, Bank, load_bank
from server.starter.training.examples import (
    draw_batch,
    draw_part,
    draw_places,
    excerpts,
)

SAMPLES = 11025


def constant(level: float, parts=STEMS, songs: int = 2, share: float = 1.0) -> Bank:
    """A bank whose every sample says where it is from: level + part / 100."""
    rows = level + torch.arange(len(parts)) / 100
    songs_ = rows[None, :, None, None].expand(songs, -1, 2, 4 * SAMPLES)
    return Bank(songs_.contiguous().half(), parts, share)


def noisy(parts=STEMS) -> Bank:
    generator = torch.Generator().manual_seed(0)
    shape = (3, len(parts), 2, 4 * SAMPLES)
    return Bank((0.1 * torch.randn(shape, generator=generator)).half(), parts)


def draw(banks, parts, seed: int, size: int = 2) -> torch.Tensor:
    return draw_batch(banks, parts, np.random.default_rng(seed), size, SAMPLES)


def test_batches_are_drawn_by_seed_and_vary():
    bank = noisy()
    assert torch.equal(draw([bank], STEMS, 1), draw([bank], STEMS, 1))
    assert not torch.equal(draw([bank], STEMS, 1), draw([bank], STEMS, 2))
    assert draw([bank], STEMS, 1).shape == (2, len(STEMS), 2, SAMPLES)


def test_parts_come_from_whichever_bank_has_them(monkeypatch):
    monkeypatch.setattr(examples, "treated", lambda stems, rng: stems)
    for name in ("DOUBLED", "LIMITED"):
        monkeypatch.setattr(examples, name, 0.0)
    singers, music = constant(0.1), constant(0.5, ("instrumental",))
    batch = draw([singers, music], ("instrumental", "vocals"), 0, size=6)
    torch.testing.assert_close(batch[:, 0], torch.full_like(batch[:, 0], 0.5), atol=1e-3, rtol=0)
    torch.testing.assert_close(batch[:, 1], torch.full_like(batch[:, 1], 0.13), atol=1e-3, rtol=0)


def test_a_third_of_the_examples_are_songs_as_they_are(monkeypatch):
    """Of songs whose parts tell which song they are of."""
    monkeypatch.setattr(examples, "treated", lambda stems, rng: stems)
    for name in ("DOUBLED", "LIMITED"):
        monkeypatch.setattr(examples, name, 0.0)
    songs = torch.arange(50)[:, None, None, None].expand(50, 6, 2, 2 * SAMPLES) / 64
    batch = draw_batch([Bank(songs.half())], STEMS, np.random.default_rng(0), 90, 256)
    whole = sum(len(example.unique()) == 1 for example in batch)
    assert 15 <= whole <= 45


def test_banks_are_drawn_from_by_their_shares():
    banks = [constant(0.1, songs=1, share=3.0), constant(0.2, songs=9, share=1.0)]
    places = draw_places(banks, np.random.default_rng(0), 400, SAMPLES)
    assert 260 <= np.sum(places.banks == 0) <= 340
    assert set(places.songs[places.banks == 1]) == set(range(9))


def test_excerpts_lie_within_their_songs_and_half_are_retuned():
    """A bank whose samples say where they are."""
    at = torch.arange(4 * SAMPLES) / (4 * SAMPLES)
    bank = Bank(at.expand(2, 1, 2, -1).contiguous().double(), ("vocals",))
    places = draw_places([bank], np.random.default_rng(0), 300, SAMPLES)
    made = excerpts([bank], "vocals", places, SAMPLES)
    steps = (made[:, 0, -1] - made[:, 0, 0]) * 4 * SAMPLES / (SAMPLES - 1)
    np.testing.assert_allclose(steps, places.speeds, atol=1e-4)
    np.testing.assert_allclose(made[:, 0, 0] * 4 * SAMPLES, places.starts, atol=0.01)
    assert 110 <= np.sum(places.speeds != 1) <= 190
    assert 0.8 <= places.speeds.min() < 0.85 and 1.2 < places.speeds.max() <= 1.25


def test_a_song_just_long_enough_is_taken_whole():
    bank = Bank(torch.ones(1, 1, 2, SAMPLES), ("vocals",))
    places = draw_places([bank], np.random.default_rng(0), 20, SAMPLES)
    assert (places.speeds <= 1).all() and not places.starts[places.speeds == 1].any()
    assert (excerpts([bank], "vocals", places, SAMPLES) == 1).all()


def test_two_clips_of_one_stem_may_sound_at_once(monkeypatch):
    monkeypatch.setattr(examples, "DOUBLED", 1.0)
    made = draw_part([constant(0.1)], "drums", np.random.default_rng(0), 5, SAMPLES)
    assert made.shape == (5, 2, SAMPLES)
    assert ((made[:, 0, 0] > 0.1 * 1.25 - 1e-3) & (made[:, 0, 0] < 0.2 + 1e-3)).all()


def test_banks_say_which_parts_they_have(tmp_path):
    samples = round(SONG_SECONDS * SR)
    path = tmp_path / "music.f16"
    path.write_bytes(bytes(3 * 2 * samples * 2))
    path.with_suffix(".json").write_text(json.dumps(["instrumental"]))
    bank = load_bank(path, share=0.5)
    assert bank.songs.shape == (3, 1, 2, samples)
    assert bank.parts == ("instrumental",) and bank.share == 0.5
    assert bank.of("instrumental").shape == (3, 2, samples)
    path.with_suffix(".json").unlink()
    with pytest.raises(ValueError, match="not whole songs of drums"):
        load_bank(path)
