"""What the headers of Matroska and of Windows Media say beside FFmpeg: encryption, length."""

import io
from pathlib import Path

import numpy as np
import pytest

from server.audio.decode import probe
from server.audio.sources.headers import asf, dolby, matroska, musepack
from server.errors import AudioError

from ..making import song
from ..recorded import recorded
from ..writing import write
from .muxing import Sound, heard, mux


def element(id: str, body: bytes) -> bytes:
    return bytes.fromhex(id) + (0x0100000000000000 | len(body)).to_bytes(8, "big") + body


def encrypted(data: bytes) -> bytes:
    """The file with its only track as WebM encrypts it."""
    mark = bytes.fromhex("1654ae6b")
    tracks = data.index(mark, data.index(mark) + 4)  # the index names it first
    size_at = tracks + 4
    width = 9 - data[size_at].bit_length()
    size = int.from_bytes(data[size_at : size_at + width], "big") & (1 << 7 * width) - 1
    end = size_at + width + size
    entry = size_at + width
    if data[entry] == 0xBF:  # a checksum, of six bytes in all
        entry += 6
    assert data[entry] == 0xAE
    body = data[entry + 1 : end]
    width = 9 - body[0].bit_length()
    scheme = element("6d80", element("6240", element("5031", b"\0") + element("5033", b"\1")
                     + element("5035", element("47e1", b"\5"))))  # fmt: skip
    return data[:tracks] + element("1654ae6b", element("ae", body[width:] + scheme)) + data[end:]


@pytest.mark.parametrize("container", ["matroska", "webm"])
def test_encrypted_matroska(tmp_path: Path, container: str) -> None:
    path = mux(tmp_path / "in", container, Sound(song(1.0), 48000, "libopus"))
    path.write_bytes(encrypted(path.read_bytes()))
    with pytest.raises(AudioError, match=r"^The audio is encrypted \(Matroska's Content"):
        probe(path, "x")


def test_encrypted_windows_media(tmp_path: Path) -> None:
    write(tmp_path / "in", "wma")
    data = (tmp_path / "in").read_bytes()
    lock = bytes.fromhex("fbb31122 23bd d211 b4b7 00a0c955fc6e".replace(" ", ""))
    (tmp_path / "in").write_bytes(data[:30] + lock + (40).to_bytes(8, "little") + bytes(16)
                                  + data[30:])  # fmt: skip
    with pytest.raises(AudioError, match=r"encrypted \(Windows Media DRM\)"):
        probe(tmp_path / "in", "x")


def test_lengths(tmp_path: Path) -> None:
    path = mux(tmp_path / "mkv", "matroska", Sound(song(2.5), 44100, "flac"))
    with open(path, "rb") as file:
        film = matroska.read(file)
    assert (film.seconds, film.codecs, film.encrypted) == (2.5, {0: "A_FLAC"}, {})
    assert not film.cut
    assert not film.pictures
    write(tmp_path / "wma", "wma")
    with open(tmp_path / "wma", "rb") as file:
        assert asf.read(file).seconds == pytest.approx(1.5, abs=0.06)
    assert musepack.read(io.BytesIO(recorded("mpc"))) == (6615, 44100)


def test_musepack_to_the_sample(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(recorded("mpc"))
    got, source = heard(tmp_path / "in")
    assert len(got) == 6615
    phase = 2 * np.pi * 440 * np.arange(6615) / 44100
    assert np.corrcoef(got[:, 0], np.sin(phase))[0, 1] > 0.999
    assert source.warnings == []


def test_speex(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(recorded("spx"))
    got, source = heard(tmp_path / "in")
    assert (source.format, source.codec) == ("ogg", "Speex")
    assert len(got) == 4800
    assert np.abs(got).max() > 0.3


@pytest.mark.parametrize("reader", [matroska.read, asf.read, musepack.read])
def test_headers_of_random_bytes(tmp_path: Path, reader: object) -> None:
    random = np.random.default_rng(0)
    files = [mux(tmp_path / "mkv", "matroska", Sound(song(0.5), 44100, "flac")).read_bytes(),
             recorded("mpc")]  # fmt: skip
    write(tmp_path / "wma", "wma", seconds=0.3)
    files.append((tmp_path / "wma").read_bytes())
    for data in files:
        for _ in range(200):
            torn = bytearray(data)
            for place in random.integers(0, min(600, len(data)), 6):
                torn[place] = random.integers(256)
            reader(io.BytesIO(bytes(torn)))


@pytest.mark.parametrize("size", [188, 192, 204])
def test_packets_of_a_transport_stream(size: int) -> None:
    offset = 4 if size == 192 else 0
    packet = bytes(offset) + b"\x47" + bytes(size - offset - 1)
    assert dolby.is_transport_stream(packet * 6)
    assert not dolby.is_transport_stream((packet + b"\0") * 6)
    assert not dolby.is_transport_stream(b"\x47" * 100)


def test_ac3_needs_frames_that_follow() -> None:
    assert dolby.ac3_kind(b"\x0b\x77" + bytes(5000)) is None
    assert dolby.ac3_kind(b"\x0b\x77") is None
    assert dolby.ac3_kind(np.random.default_rng(0).bytes(1 << 16)) is None
