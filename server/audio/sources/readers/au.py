"""Reads AU, Sun's and NeXT's audio files, with plain samples in them, of either byte order.

The header is that of the audio_filehdr(5) manual page. What is compressed goes on to the decoders
that know it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from server.audio.sources.headers import iff, layouts
from server.audio.sources.headers.open_file import file_size
from server.audio.sources.headers.tags import behind_tags
from server.audio.sources.readers import ffmpeg
from server.audio.sources.readers.pcm import Coding, Extent, Kind, PcmSource
from server.audio.sources.sniffing import Container
from server.audio.sources.source import Source, check_limits

_HEADER_BYTES = 24
_UNBELIEVABLE = 0x7FFF_0000
_UNKNOWN = 0xFFFF_FFFF  # the size that a stream has
_CODINGS: Mapping[int, tuple[Kind, int]] = {
    1: ("ulaw", 1), 2: ("signed", 1), 3: ("signed", 2), 4: ("signed", 3), 5: ("signed", 4),
    6: ("float", 4), 7: ("float", 8), 27: ("alaw", 1),
}  # fmt: skip


@contextmanager
def opened(path: Path, container: Container) -> Iterator[Source]:
    """Opens an AU. Raises as `open_source`."""
    with open(path, "rb") as file:
        begin = behind_tags(file)
        file.seek(begin)
        header = file.read(_HEADER_BYTES).ljust(_HEADER_BYTES, b"\0")
        big = header[:4] == b".snd"
        start, size, encoding, rate, channels = (
            int.from_bytes(header[at : at + 4], "big" if big else "little")
            for at in range(4, _HEADER_BYTES, 4)
        )
        if encoding in _CODINGS:
            length, start = file_size(file), begin + start
            end = length if size in (0, _UNKNOWN) else min(length, start + size)
            check_limits(rate, channels)
            coding = Coding(*_CODINGS[encoding], big)
            names = layouts.unknown(channels)
            extent = Extent(start, end, size if size < _UNBELIEVABLE else 0)
            source = PcmSource(container.format, file, extent, coding, rate, names)
            source.warnings += iff.followed(file, end)
            yield source
            return
    with ffmpeg.opened(path, container) as coded:
        yield coded
