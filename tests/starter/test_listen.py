"""Excerpts to listen to: files that hold what the page says, at one level, and no set is missed."""

import re

import numpy as np
import pytest
import soundfile
import torch

from server.starter import listen
from server.starter.listen import Excerpt, excerpts, loudest, sections, write_song
from server.starter.quality import SR, SongSet
from server.starter.songs import STEMS
from tests.starter.material import tone


class Halves(torch.nn.Module):
    """A model that takes half of the mix for vocals and the rest for drums."""

    sources = ("vocals", "drums")
    samplerate, audio_channels, segment = SR, 2, 5.0

    def forward(self, mix: torch.Tensor) -> torch.Tensor:
        return torch.stack([0.5 * mix, 0.5 * mix], dim=1)


@pytest.fixture
def song() -> dict[str, np.ndarray]:
    """Vocals and drums that are alike and get loud after five seconds; no other stem."""
    x = tone(9.0).T.astype(np.float32)
    x[:, : 5 * SR] *= 0.1
    silent = dict.fromkeys(STEMS, np.zeros_like(x))
    return {**silent, "vocals": x, "drums": x.copy()}


def test_the_loudest_stretch_is_found():
    mix = np.ones((2, 10 * SR), np.float32)
    mix[:, 4 * SR : 6 * SR] = 2.0
    assert loudest(mix, 2 * SR) == (4 * SR, 6 * SR)
    assert loudest(mix[:, :SR], 2 * SR) == (0, SR)


def test_an_excerpt_has_what_plays_and_what_was_made_of_it(song):
    mix, parts = excerpts(song, Halves(), 2.0)
    assert mix.shape == (2, 2 * SR)
    assert [part.target for part in parts] == ["drums", "vocals"]
    for part in parts:
        np.testing.assert_allclose(part.truth, 0.5 * mix, atol=1e-6)
        np.testing.assert_allclose(part.guess, part.truth, atol=1e-4)


def test_files_hold_the_sounds_at_one_gain(tmp_path):
    mix = 2.0 * tone(0.5, gain=1.0).T
    text = write_song(tmp_path, "set", 7, mix, [Excerpt("bass", 0.5 * mix, 0.25 * mix)])
    assert "set, song 7" in text
    files = re.findall(r'src="([^"]+)"', text)
    assert files == ["set-7-mix.flac", "set-7-bass-truth.flac", "set-7-bass-guess.flac"]
    peaks = [np.abs(soundfile.read(tmp_path / file)[0]).max() for file in files]
    assert peaks == pytest.approx([0.99, 0.495, 0.2475], rel=0.01)


def test_a_set_that_cannot_be_played_says_why(tmp_path):
    def nothing():
        raise FileNotFoundError("apt-get install <bells>")

    (section,) = sections(SongSet("bells", "", 0, nothing), Halves(), tmp_path, 2, 1.0)
    assert "apt-get install &lt;bells&gt;" in section


def test_the_command_writes_a_page_whose_files_are_there(tmp_path, monkeypatch, song, capsys):
    monkeypatch.setattr(listen, "SETS", (SongSet("mine", "", 3, lambda: lambda n, s: song),))
    monkeypatch.setattr(listen, "prepare_cpu", lambda threads: None)  # it lasts
    monkeypatch.setattr(listen, "load_bag", lambda files: Halves())
    monkeypatch.setattr("sys.argv", ["l", "--songs", "2", "--seconds", "2", "--out",
                                     str(tmp_path / "out")])  # fmt: skip
    listen.main()
    page = (tmp_path / "out/index.html").read_text()
    assert str(tmp_path / "out/index.html") in capsys.readouterr().out
    files = re.findall(r'src="([^"]+)"', page)
    assert len(files) == 2 * 5 and all((tmp_path / "out" / file).is_file() for file in files)
    assert "mine, song 3" in page and "mine, song 4" in page and "stembox: starter" in page


def test_what_is_no_model_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["l", "--model", str(tmp_path / "none.yaml")])
    with pytest.raises(SystemExit):
        listen.main()
    assert "not a model's listing" in capsys.readouterr().err
