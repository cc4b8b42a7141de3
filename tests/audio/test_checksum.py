"""The CRC-32 of a file in the making is the one of the file that was made."""

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.audio.writing.checksum import HEAD, Checksum, Contents, combined
from server.audio.writing.encode import encode
from server.audio.writing.whole_file import WholeFile
from server.work.steps import finish

from .making import RATE, song, write_mix


@given(first=st.binary(max_size=300), second=st.binary(max_size=300))
def test_of_two_pieces_in_a_row(first: bytes, second: bytes) -> None:
    alone = zlib.crc32(first), zlib.crc32(second)
    assert combined(*alone, len(second)) == zlib.crc32(first + second)


@pytest.mark.parametrize("size", [(1 << 24) + 1, 1 << 26])
def test_of_a_long_second_piece(size: int) -> None:
    assert combined(zlib.crc32(b"abc"), zlib.crc32(bytes(size)), size) == zlib.crc32(
        bytes(size), zlib.crc32(b"abc"))


@given(st.lists(st.integers(1, 3 * HEAD), max_size=6), st.integers(0, 100), st.binary(max_size=99))
def test_a_head_that_is_corrected_later(pieces: list[int], at: int, patch: bytes) -> None:
    file, checksum = io.BytesIO(), Checksum()
    for number, size in enumerate(pieces):
        data = bytes([number + 1]) * size
        checksum.add(file.tell(), memoryview(data))
        file.write(data)
    at = min(at, file.tell())
    file.seek(at)
    file.write(patch)
    checksum.add(at, memoryview(patch))
    whole = file.getvalue()
    assert checksum.finish(whole[:HEAD]) == Contents(len(whole), zlib.crc32(whole))


@pytest.mark.parametrize("position", [HEAD - 1, HEAD, HEAD + 99, HEAD + 101])
def test_nothing_else_is_written_twice_or_left_out(position: int) -> None:
    checksum = Checksum()
    checksum.add(0, memoryview(bytes(HEAD + 100)))
    with pytest.raises(OSError, match="head"):
        checksum.add(position, memoryview(b"ab"))


@pytest.mark.parametrize("frames", [1, 700, 3 * RATE + 5])
@pytest.mark.parametrize(("format", "samples"), [
    ("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("FLAC", "PCM_16"), ("MP3", "PCM_16"),
])  # fmt: skip
def test_tracks_know_what_they_hold(
    tmp_path: Path, frames: int, format: str, samples: str
) -> None:
    source = write_mix(tmp_path / "s.f32", song(4)[:frames])
    made = finish(encode(source, tmp_path / "t", samples, format=format))
    data = (tmp_path / "t").read_bytes()
    assert made == (len(data), zlib.crc32(data))


def test_a_file_that_takes_little_at_a_time(tmp_path: Path) -> None:
    data = np.random.default_rng(0).bytes(3 * HEAD)
    whole = WholeFile(tmp_path / "t")
    with whole:
        write = whole.file.write

        class Slow:
            def __getattr__(self, name: str) -> object:
                return getattr(whole_file, name)

            def write(self, view: memoryview) -> int:
                return write(view[:1000])

        whole_file, whole.file = whole.file, Slow()  # type: ignore[assignment]
        whole.append(data)
    assert (tmp_path / "t").read_bytes() == data
    assert whole.contents == (len(data), zlib.crc32(data))
