"""Two files in one: the second is not read, and this is told."""

from io import BytesIO
from pathlib import Path

import pytest

from server.audio.sources.headers import isobmff
from server.audio.sources.readers.ffmpeg import _BEGINNINGS, _BLOCK, _again

from ..making import RATE, song, write_av, write_sound
from .muxing import heard

WARNING = "Another file follows in this one, which is not read"


@pytest.mark.parametrize("seconds", [1.0, 1.00001])  # an odd number of bytes has a pad byte
@pytest.mark.parametrize("format", ["WAV", "AIFF", "AU", "CAF", "W64", "RF64"])
def test_the_second_file_is_told(tmp_path: Path, format: str, seconds: float) -> None:
    samples = song(seconds)[:, :1]
    path = write_sound(tmp_path / "in", samples, format=format, subtype="PCM_24")
    got, source = heard(path)
    assert len(got) == len(samples)
    assert source.warnings == []
    path.write_bytes(path.read_bytes() * 2)
    got, source = heard(path)
    assert len(got) == len(samples)
    assert source.warnings == [WARNING]


@pytest.mark.parametrize(("container", "codec"), [
    ("ipod", "aac"), ("mp4", "alac"), ("flac", "flac"), ("asf", "wmav2"), ("tta", "tta"),
])  # fmt: skip
def test_the_second_file_is_told_where_ffmpeg_reads(
    tmp_path: Path, container: str, codec: str
) -> None:
    path = write_av(tmp_path / "x", song(1.0), RATE, codec, container)
    assert heard(path)[1].warnings == []
    path.write_bytes(path.read_bytes() * 2)
    assert WARNING in heard(path)[1].warnings


def test_a_mark_between_two_blocks_is_found() -> None:
    mark = _BEGINNINGS["flac"]
    for before in range(_BLOCK - 2 * len(mark), _BLOCK + 2 * len(mark)):
        assert _again(BytesIO(mark + bytes(before) + mark), "flac")
    assert not _again(BytesIO(mark + bytes(2 * _BLOCK) + mark[:-1]), "flac")


def test_fragments_with_a_header_of_their_own_are_one_song() -> None:
    def box(kind: bytes, content: bytes = b"") -> bytes:
        return (8 + len(content)).to_bytes(4, "big") + kind + content

    movie = box(b"ftyp", b"mp42") + box(b"moov")
    assert isobmff.read(BytesIO(2 * movie)).followed
    assert not isobmff.read(BytesIO(2 * (movie + box(b"moof")))).followed
    assert not isobmff.read(BytesIO(movie + box(b"mdat", movie))).followed
