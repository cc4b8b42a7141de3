"""The layout of ZIPs: as zipfile reads it, as a stream is read, and beyond what 32 bits can say."""

import io
import os
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.api.files import downloads
from server.api.files.zips import MOST_32, Member, headers_of
from server.api.ports import TrackFile

from .zip_streams import Found, next_header, read_as_stream

MADE_AT = 1705314645.123456  # 2024-01-15T10:30:45.123456 UTC
NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/\\"),
                min_size=1, max_size=40)  # fmt: skip


def joined(files: dict[str, bytes]) -> bytes:
    members = [Member(name, len(data), zlib.crc32(data)) for name, data in files.items()]
    *before, behind = headers_of(members, MADE_AT)
    return b"".join(h + d for h, d in zip(before, files.values(), strict=True)) + behind


@given(st.dictionaries(NAMES, st.binary(max_size=200), max_size=8))
def test_both_kinds_of_readers_find_the_files(files: dict[str, bytes]) -> None:
    data = joined(files)
    if files:
        assert read_as_stream(data) == files
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert {info.filename: archive.read(info) for info in archive.infolist()} == files
        for info in archive.infolist():
            assert info.date_time == (2024, 1, 15, 10, 30, 44)
            assert info.external_attr >> 16 == 0o100644
            assert info.flag_bits == (0 if info.filename.isascii() else 1 << 11)


@pytest.mark.parametrize("made_at", [-1.0, 0.0, 4102444800.0])
def test_times_that_a_zip_cannot_say(made_at: float) -> None:
    with zipfile.ZipFile(io.BytesIO(b"".join(headers_of([Member("a", 0, 0)], made_at)))) as archive:
        year = archive.getinfo("a").date_time[0]
    assert year == (2100 if made_at > 0 else 1980)


@pytest.mark.parametrize("first", [0, MOST_32 - 1, MOST_32, 5 << 30])
def test_beyond_four_gigabytes(tmp_path: Path, first: int) -> None:
    """Sparse files: a long one before a short one, so that sizes, offsets or both need 64 bits."""
    files = []
    for name, size in (("long.wav", first), ("short.wav", 5)):
        (tmp_path / name).touch()
        os.truncate(tmp_path / name, size)
        files.append(TrackFile(tmp_path / name, size, zlib.crc32(bytes(min(size, 5)))))
    source = downloads._zip_source("song", files, MADE_AT)
    sparse = Sparse(source)
    with zipfile.ZipFile(sparse) as archive:
        assert [(i.filename, i.file_size) for i in archive.infolist()] == [
            ("long.wav", first), ("short.wav", 5)]
        assert archive.read("short.wav") == bytes(5)
        long, short = archive.infolist()
    sparse.seek(0)
    assert next_header(sparse) == Found("long.wav", first, long.CRC, 45 if first >= MOST_32 else 20)
    sparse.seek(first, io.SEEK_CUR)
    assert next_header(sparse) == Found("short.wav", 5, short.CRC, 20)
    assert short.extract_version == (45 if short.header_offset >= MOST_32 else 20)
    end = b"".join(source.read(source.size - 98, source.size))
    wide = first >= MOST_32 - 1  # then even the directory begins beyond
    assert (end[:4] == b"PK\6\6") == (end[56:60] == b"PK\6\7") == wide
    if wide:
        count, size, offset = struct.unpack_from("<QQQ", end, 32)
        assert (count, offset + size, source.size) == (2, source.size - 98, sparse.size)


def test_more_files_than_sixteen_bits_can_say() -> None:
    members = [Member(f"{number}", 0, 0) for number in range(0xFFFF)]
    with zipfile.ZipFile(io.BytesIO(b"".join(headers_of(members, MADE_AT)))) as archive:
        assert archive.namelist() == [member.name for member in members]


class Sparse(io.RawIOBase):
    """A download as a file, of which only what is read is made."""

    def __init__(self, source: downloads.Source) -> None:
        self._source, self._at, self.size = source, 0, source.size

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, out: memoryview) -> int:
        stop = min(self.size, self._at + len(out))
        data = b"".join(self._source.read(self._at, stop))
        out[: len(data)] = data
        self._at += len(data)
        return len(data)
