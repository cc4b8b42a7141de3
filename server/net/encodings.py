"""Bodies that come compressed although nobody asked for it, unpacked a bounded piece at a time.

Pure. What is unpacked is counted by whoever takes the pieces: a bomb is stopped there.
"""

import zlib
from collections.abc import Iterator
from typing import Final, Protocol

from server.errors import Unreachable

STEP: Final = 1 << 20  # bytes: the largest piece
GZIP_MAGIC: Final = b"\x1f\x8b"  # RFC 1952
GZIP: Final = 31  # zlib's numbers for the three wrappings
ZLIB: Final = 15
RAW: Final = -15
KNOWN: Final = ("gzip", "x-gzip", "deflate")
NONE: Final = ("", "identity")


class Decoder(Protocol):
    """Takes a body in order."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What the next bytes stand for. Raises Unreachable: they cannot be unpacked."""

    def finish(self) -> Iterator[bytes]:
        """What is left. Raises Unreachable: the body is not complete."""


class Identity:
    """A body that is as it is."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The same bytes."""
        yield data

    def finish(self) -> Iterator[bytes]:
        """Nothing."""
        return iter(())


class Inflater:
    """RFC 1950, 1951, 1952: gzip, also several in a row; deflate with or without zlib's header.

    What follows the last of them is not the body's, as other clients have it.
    """

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._begun = b""  # the first two bytes tell the wrapping
        self._stream: zlib._Decompress | None = None
        self._over = False  # what comes now is not the body's

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Pieces of at most 1 MiB."""
        if self._stream is None:
            self._begun = data = self._begun + data
            if len(data) < 2:
                return
            self._stream = zlib.decompressobj(self._wrapping(data))
        while data and not self._over:
            if self._stream.eof and data[0] != GZIP_MAGIC[0]:
                self._over = True
                return
            if self._stream.eof:
                self._stream = zlib.decompressobj(GZIP)
            try:
                piece = self._stream.decompress(data, STEP)
            except zlib.error:
                raise self._broken() from None
            data = self._stream.unconsumed_tail or self._stream.unused_data
            if piece:
                yield piece

    def finish(self) -> Iterator[bytes]:
        """What the stream still holds: less than the largest piece."""
        if self._stream is None:
            if self._begun:
                raise self._broken()
            return
        if piece := self._stream.flush():
            yield piece
        if not self._stream.eof:
            raise self._broken()

    def _wrapping(self, data: bytes) -> int:
        if data.startswith(GZIP_MAGIC):
            return GZIP
        has_header = data[0] & 15 == 8 and int.from_bytes(data[:2]) % 31 == 0  # RFC 1950, 2.2
        return ZLIB if has_header or self._coding != "deflate" else RAW

    def _broken(self) -> Unreachable:
        return Unreachable(f"The source's body is not the {self._coding} that it says it is")


def decoder_of(content_encoding: str) -> Decoder:
    """What unpacks a body with this header (RFC 9110, 8.4). Raises Unreachable: none of ours."""
    codings = [coding.strip().lower() for coding in content_encoding.split(",")]
    codings = [coding for coding in codings if coding not in NONE]
    if not codings:
        return Identity()
    if len(codings) > 1 or codings[0] not in KNOWN:
        raise Unreachable(f"The source sends an encoded body ({', '.join(codings)[:40]})")
    return Inflater(codings[0])
