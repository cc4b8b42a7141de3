"""Chained Ogg: every link is heard, at its own rate, of whatever codec."""

import io
import re
from pathlib import Path

import numpy as np
import pytest

from server.audio.decode import decode, measure, probe
from server.audio.sources.readers import ogg
from server.errors import AudioError
from server.work.steps import finish

from ..making import RATE, read_mix, song, tone, write_sound
from .muxing import Sound, heard, lag, mux

HZ = {"vorbis": 330.0, "opus": 440.0, "flac": 550.0, "mono": 660.0, "high": 770.0}
SECONDS = {"vorbis": 2.0, "opus": 1.5, "flac": 1.25, "mono": 1.0, "high": 0.75}


def link(folder: Path, kind: str) -> bytes:
    """A song of its own: a tone by which it is known."""
    rate = {"opus": 48000, "mono": 22050, "high": 96000}.get(kind, 44100)
    samples = tone(SECONDS[kind], rate, 1 if kind == "mono" else 2, HZ[kind])
    path = folder / kind
    if kind == "flac":
        return mux(path, "ogg", Sound(samples, rate, "flac")).read_bytes()
    subtype = "OPUS" if kind == "opus" else "VORBIS"
    return write_sound(path, samples, rate, format="OGG", subtype=subtype).read_bytes()


def chain(folder: Path, *kinds: str) -> Path:
    path = folder / "in.ogg"
    path.write_bytes(b"".join(link(folder, kind) for kind in kinds))
    return path


def pitch(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples[:, 0] * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * RATE / len(samples))


@pytest.mark.parametrize("kinds", [
    ("vorbis", "vorbis"), ("vorbis", "opus"), ("opus", "vorbis", "flac"), ("vorbis", "mono"),
    ("mono", "vorbis"), ("flac", "high", "opus", "mono"), ("opus", "opus", "opus"),
    ("flac", "flac"),
], ids="+".join)  # fmt: skip
def test_all_links_are_heard(tmp_path: Path, kinds: tuple[str, ...]) -> None:
    path = chain(tmp_path, *kinds)
    mix = finish(decode(path, tmp_path / "mix", 60))
    samples = read_mix(tmp_path / "mix")
    assert len(samples) == pytest.approx(sum(SECONDS[kind] for kind in kinds) * RATE, abs=4)
    assert finish(measure(path, 60)) == mix.frames == len(samples)
    assert mix.heard.warnings == []
    at = 0
    for kind in kinds:
        count = int(SECONDS[kind] * RATE)
        part = samples[at + count // 4 : at + count * 3 // 4]
        assert pitch(part) == pytest.approx(HZ[kind], abs=3)
        assert np.abs(part).max() == pytest.approx(0.5, abs=0.05)
        at += count
    assert probe(path, "x").channels == (1 if kinds[0] == "mono" else 2)


def test_one_link_is_no_chain(tmp_path: Path) -> None:
    with open(chain(tmp_path, "vorbis"), "rb") as file:
        assert len(ogg.links_of(file)) == 1


def test_a_film_with_sound_is_one_link(tmp_path: Path) -> None:
    sounds = (Sound(song(1.0), 44100, "flac"), Sound(song(1.0, 1), 44100, "flac"))
    path = mux(tmp_path / "in", "ogg", *sounds)
    with open(path, "rb") as file:
        assert len(ogg.links_of(file)) == 1
    got, source = heard(path)
    assert source.track == "1 of 2 (FLAC)"
    assert lag(sounds[0].samples, got) == 0


def test_a_damaged_link_is_told_and_the_others_are_heard(tmp_path: Path) -> None:
    first, second, third = (link(tmp_path, kind) for kind in ("vorbis", "flac", "opus"))
    broken = bytearray(second)
    start = len(broken) // 4
    broken[start:] = np.random.default_rng(0).bytes(len(broken) - start)
    path = tmp_path / "in"
    path.write_bytes(first + bytes(broken) + third)
    mix = finish(decode(path, tmp_path / "mix", 60))
    assert mix.frames >= 3.5 * RATE - 4
    assert any(text.startswith("Part 2 of 3: ") for text in mix.heard.warnings)


def test_a_link_without_sound_is_told(tmp_path: Path) -> None:
    first = link(tmp_path, "vorbis")
    headers = first[: first.index(b"OggS", 100)]
    path = tmp_path / "in"
    path.write_bytes(first + headers + link(tmp_path, "opus"))
    mix = finish(decode(path, tmp_path / "mix", 60))
    assert mix.frames == pytest.approx(3.5 * RATE, abs=4)
    assert mix.heard.warnings == ["Part 2 of 3: No audio can be decoded from the file"]


@pytest.mark.parametrize("pages", [1, 2])
@pytest.mark.parametrize("at", [0, 1])
def test_a_link_of_headers_alone_costs_no_other(tmp_path: Path, pages: int, at: int) -> None:
    """As radio captures have them: the song that follows begins with the same headers."""
    song = link(tmp_path, "vorbis")
    starts = [match.start() for match in re.finditer(b"OggS", song)]
    links = [song, song]
    links.insert(at, song[: starts[pages]])
    path = tmp_path / "in.ogg"
    path.write_bytes(b"".join(links))
    found = probe(path, "x")
    assert found.codec == "Vorbis"
    mix = finish(decode(path, tmp_path / "mix", 60))
    assert mix.frames == pytest.approx(4 * RATE, abs=4)
    assert mix.heard.warnings == [f"Part {at + 1} of 3: No audio can be decoded from the file"]


def test_no_link_can_be_read(tmp_path: Path) -> None:
    head = link(tmp_path, "vorbis")[:58]
    path = tmp_path / "in.ogg"
    path.write_bytes(head + head)
    with pytest.raises(AudioError, match="No audio can be decoded"):
        probe(path, "x")


def test_a_stream_that_is_cut_off_says_so(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "in", song(8), format="OGG", subtype="VORBIS")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    _, source = heard(path)
    assert source.warnings == ["The file has no end mark: it may have been cut off"]


@pytest.mark.parametrize(("format", "subtype"), [("OGG", "VORBIS"), ("OGG", "OPUS")])
@pytest.mark.parametrize("seconds", [0.05, 0.3, 1.0, 7.7])
@pytest.mark.parametrize("channels", [1, 2])
def test_short_and_long_to_the_sample(
    tmp_path: Path, format: str, subtype: str, seconds: float, channels: int
) -> None:
    rate = 48000 if subtype == "OPUS" else 44100
    samples = song(seconds * rate / RATE)[:, :channels]
    got, _ = heard(write_sound(tmp_path / "in", samples, rate, format=format, subtype=subtype))
    assert len(got) == len(samples)


def test_damage_in_the_middle_is_silence_and_is_told(tmp_path: Path) -> None:
    whole = song(12.0)
    path = write_sound(tmp_path / "in", whole, format="OGG", subtype="VORBIS")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    path.write_bytes(data)
    got, source = heard(path)
    assert len(got) == len(whole)
    assert lag(whole[-2 * RATE :], got[-2 * RATE :]) == 0
    (warning,) = source.warnings
    assert "became silence" in warning


def test_pages_that_are_none(tmp_path: Path) -> None:
    """What looks like a first page within a page's sound does not begin a link."""
    path = chain(tmp_path, "vorbis")
    data = path.read_bytes()
    fake = bytearray(data[:58])
    fake[22] ^= 1  # its checksum
    path.write_bytes(data + bytes(fake) + data)
    with open(path, "rb") as file:
        assert [one.start for one in ogg.links_of(file)] == [0, len(data) + 58]


def test_more_links_than_anyone_joins() -> None:
    head = bytes.fromhex("4f67675300020000000000000000010000000000000000000000011e") + bytes(30)
    page = bytearray(head)
    page[22:26] = ogg._checksum(head).to_bytes(4, "little")
    other = bytearray(page)
    other[5] = 0
    with pytest.raises(AudioError, match="more than 1000 songs"):
        ogg.links_of(io.BytesIO((bytes(page) + bytes(other)) * 1001))
