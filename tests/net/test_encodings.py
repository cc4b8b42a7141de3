"""Bodies that come packed."""

import asyncio
import gzip
import os
import zlib
from itertools import pairwise
from pathlib import Path

import pytest

from server.errors import FileTooLarge, Unreachable
from server.net import downloads
from tests.net.downloading import MB, OK, bad, down
from tests.net.downloading import target as target
from tests.net.places import Call, floods, ok, says

SONG = os.urandom(MB // 2) + bytes(MB // 2)
RAW = zlib.compressobj(wbits=-15)
PACKED = {
    "gzip": gzip.compress(SONG), "GZip": gzip.compress(SONG), "x-gzip": gzip.compress(SONG),
    "identity, gzip": gzip.compress(SONG), "deflate": zlib.compress(SONG),
    "Deflate": RAW.compress(SONG) + RAW.flush(),
    " gzip ": gzip.compress(SONG[:9]) + gzip.compress(SONG[9:]),  # several in a row are one
    "gzip,": gzip.compress(SONG) + bytes(512),  # padding
}  # fmt: skip


@pytest.mark.parametrize("coding", PACKED)
@pytest.mark.parametrize("step", [1 << 30, 60_000, 0])
def test_a_body_that_comes_packed_is_unpacked(target: Path, coding: str, step: int) -> None:
    packed = PACKED[coding]

    async def behave(_: Call, writer: asyncio.StreamWriter) -> None:
        head = f"{OK}Content-Encoding: {coding}\r\nContent-Length: {len(packed)}\r\n\r\n"
        writer.write(head.encode())
        cuts = range(0, len(packed), step) if step else (0, 1, 3, len(packed) - 9)
        for start, end in pairwise((*cuts, len(packed))):
            writer.write(packed[start:end])
            await writer.drain()
            await asyncio.sleep(0)

    assert down(behave, target, max_bytes=MB).size_bytes == MB
    assert target.read_bytes() == SONG
    target.unlink()
    bad(behave, target, FileTooLarge, "larger", max_bytes=MB - 1)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_bomb_is_stopped_at_the_limit(
    target: Path, coding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = zlib.compressobj(9, wbits=31 if coding == "gzip" else 15)
    bomb = b"".join(pack.compress(bytes(16 * MB)) for _ in range(6)) + pack.flush()
    assert len(bomb) < MB
    written: list[int] = []
    keep = downloads.Sink._keep

    def counted(sink: downloads.Sink, piece: bytes) -> None:
        written.append(len(piece))
        keep(sink, piece)

    monkeypatch.setattr(downloads.Sink, "_keep", counted)
    answer = says(ok(bomb, f"Content-Encoding: {coding}\r\n"))
    bad(answer, target, FileTooLarge, "larger", max_bytes=5 * MB)
    assert max(written) <= MB
    assert sum(written) <= 6 * MB


def test_packing_without_end_that_stands_for_nothing_is_stopped(target: Path) -> None:
    empty = gzip.compress(b"") * 4000
    answer = floods(f"{OK}Content-Encoding: gzip\r\n\r\n".encode(), empty)
    bad(answer, target, FileTooLarge, "larger")


@pytest.mark.parametrize(("coding", "body", "said"), [
    ("br", b"x", "encoded body .br."), ("zstd", b"x", "encoded body .zstd."),
    ("gzip, gzip", gzip.compress(gzip.compress(b"song")), "encoded body .gzip, gzip."),
    ("x-unknown", b"x", "encoded"), ("gzip", b"RIFF....WAVE", "not the gzip that it says"),
    ("gzip", gzip.compress(SONG)[:-9], "not the gzip"), ("gzip", b"\x1f", "not the gzip"),
    ("gzip", gzip.compress(SONG)[:99] + b"rubbish" * 99, "not the gzip"),
    ("deflate", zlib.compress(SONG)[:-1], "not the deflate"),
    ("deflate", b"RIFF", "not the deflate"),
    ("gzip", b"", "empty"), ("gzip", gzip.compress(b""), "empty"),
])  # fmt: skip
def test_what_cannot_be_unpacked(target: Path, coding: str, body: bytes, said: str) -> None:
    bad(says(ok(body, f"Content-Encoding: {coding}\r\n")), target, Unreachable, said)


def test_identity_is_no_encoding(target: Path) -> None:
    assert down(says(ok(b"song", "Content-Encoding: Identity\r\n")), target).size_bytes == 4
