"""Which track of several is read, and that this is told."""

from pathlib import Path

import numpy as np
import pytest

from server.audio.decode import decode, measure, probe
from server.errors import UnsupportedFormat
from server.work.steps import finish

from ..making import read_mix, song
from .muxing import Sound, lag, mux

WANTED, OTHER = song(2.0), song(2.0, 7)[::-1].copy()
SILENT = np.zeros_like(WANTED)


def choice(path: Path) -> tuple[str | None, bool]:
    """What the house says of its choice, and whether the mix is WANTED."""
    found = probe(path, "x")
    mix = finish(decode(path, path.with_name("mix"), 60))
    samples = read_mix(path.with_name("mix"))
    assert found.track == mix.heard.track
    assert found.codec == mix.heard.codec
    assert finish(measure(path, 60)) == mix.frames
    near = abs(lag(WANTED, samples)) < 3000
    alike = np.corrcoef(np.abs(WANTED[5000:80000, 0]),
                        np.abs(np.roll(samples, -lag(WANTED, samples), 0)[5000:80000, 0]))
    return mix.heard.track, bool(near and alike[0, 1] > 0.9)


@pytest.mark.parametrize(("first", "second", "told"), [
    (Sound(WANTED, 44100, "ac3", default=True), Sound(OTHER, 44100, "aac"), "1 of 2 (AC-3)"),
    (Sound(OTHER, 44100, "ac3", default=False), Sound(WANTED, 44100, "aac", default=True),
     "2 of 2 (AAC)"),
    (Sound(WANTED, 44100, "aac", default=False), Sound(OTHER, 44100, "aac", default=False),
     "1 of 2 (AAC)"),
    (Sound(WANTED, 44100, "aac", default=True), Sound(OTHER, 44100, "aac", default=True),
     "1 of 2 (AAC)"),
    (Sound(SILENT, 44100, "aac", default=True), Sound(WANTED, 44100, "aac"), "2 of 2 (AAC)"),
    (Sound(SILENT, 44100, "flac"), Sound(WANTED, 44100, "libmp3lame"), "2 of 2 (MP3)"),
])  # fmt: skip
def test_in_matroska(tmp_path: Path, first: Sound, second: Sound, told: str) -> None:
    assert choice(mux(tmp_path / "in", "matroska", first, second)) == (told, True)


@pytest.mark.parametrize(("first", "second", "told"), [
    ("alac", "aac", "1 of 2 (ALAC)"), ("aac", "alac", "1 of 2 (AAC)"),
])  # fmt: skip
def test_in_quicktime(tmp_path: Path, first: str, second: str, told: str) -> None:
    sounds = Sound(WANTED, 44100, first), Sound(OTHER, 44100, second)
    assert choice(mux(tmp_path / "in", "mov", *sounds)) == (told, True)


def test_the_flagged_track_of_three(tmp_path: Path) -> None:
    sounds = [Sound(OTHER, 44100, "aac", default=False), Sound(OTHER, 44100, "alac", default=False),
              Sound(WANTED, 44100, "alac", default=True)]  # fmt: skip
    assert choice(mux(tmp_path / "in", "mov", *sounds)) == ("3 of 3 (ALAC)", True)


def test_a_flagged_track_without_packets_gives_way(tmp_path: Path) -> None:
    empty = Sound(OTHER, 44100, "flac", default=True, lost=lambda number: True)
    path = mux(tmp_path / "in", "matroska", empty, Sound(WANTED, 44100, "flac", default=False))
    assert choice(path) == ("2 of 2 (FLAC)", True)


def test_a_flagged_track_that_cannot_be_decoded_gives_way(tmp_path: Path) -> None:
    """A codec that no decoder here knows."""
    path = mux(tmp_path / "in", "matroska", Sound(OTHER, 44100, "ac3", default=True),
               Sound(WANTED, 44100, "flac", default=False))  # fmt: skip
    path.write_bytes(path.read_bytes().replace(b"A_AC3", b"A_XYZ"))
    assert choice(path) == ("2 of 2 (FLAC)", True)


def test_two_silent_tracks_are_silence(tmp_path: Path) -> None:
    path = mux(tmp_path / "in", "matroska", Sound(SILENT, 44100, "flac"),
               Sound(SILENT, 44100, "aac"))  # fmt: skip
    assert probe(path, "x").track == "1 of 2 (FLAC)"
    finish(decode(path, tmp_path / "mix", 60))
    assert not read_mix(tmp_path / "mix").any()


def test_a_single_track_is_not_spoken_of(tmp_path: Path) -> None:
    path = mux(tmp_path / "in", "matroska", Sound(WANTED, 44100, "flac"))
    assert choice(path) == (None, True)


def test_what_cannot_be_decoded_is_named_by_the_bytes(tmp_path: Path) -> None:
    path = mux(tmp_path / "in", "matroska", Sound(WANTED, 44100, "ac3"))
    path.write_bytes(path.read_bytes().replace(b"A_AC3", b"A_XYZ"))
    with pytest.raises(UnsupportedFormat, match=r"^Unsupported audio format: A_XYZ in MKV$"):
        probe(path, "song.mp3")
    path = mux(tmp_path / "in", "mp4", Sound(WANTED, 44100, "aac"))
    path.write_bytes(path.read_bytes().replace(b"mp4a", b"ac-4").replace(b"esds", b"dac4"))
    with pytest.raises(UnsupportedFormat, match=r"^Unsupported audio format: AC-4 in MP4$"):
        probe(path, "song.mp3")
