"""Reads Apple's Core Audio Format with plain samples in it.

Apple, "Core Audio Format Specification 1.0". What is compressed goes on to the decoders that know
it.
"""

import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from server.audio.sources.headers import iff, layouts
from server.audio.sources.headers.iff import Piece
from server.audio.sources.headers.open_file import file_size
from server.audio.sources.headers.tags import behind_tags
from server.audio.sources.readers import ffmpeg
from server.audio.sources.readers.pcm import Coding, Extent, Kind, PcmSource
from server.audio.sources.sniffing import Container
from server.audio.sources.source import Source, check_limits, nothing_decoded

_HEADER_BYTES = 8  # caff, version, flags
_NO_LAYOUT = Piece(b"chan", 0, 0)
_EDIT_COUNT_BYTES = 4  # in front of the samples
_FLOAT, _LITTLE = 1, 2  # format flags of linear PCM
_LAWS: Mapping[bytes, Kind] = {b"alaw": "alaw", b"ulaw": "ulaw"}


class _Description(NamedTuple):
    """The `desc` chunk (CAFAudioFormat)."""

    rate: int
    id: bytes
    flags: int
    bytes_per_packet: int
    frames_per_packet: int
    channels: int
    bits: int


@contextmanager
def opened(path: Path, container: Container) -> Iterator[Source]:
    """Opens a CAF. Raises as `open_source`."""
    with open(path, "rb") as file:
        description, sound, names = _parsed(file)
        coding = _coding(description)
        if coding is not None:
            claimed = max(0, sound.claimed_size(iff.CAF) - _EDIT_COUNT_BYTES)
            start, end = sound.start + _EDIT_COUNT_BYTES, file_size(file)
            if sound.size > _EDIT_COUNT_BYTES:  # -1 in a stream
                end = min(end, sound.end)
            extent = Extent(start, end, claimed)
            source = PcmSource(container.format, file, extent, coding, description.rate, names)
            source.warnings += iff.followed(file, end)
            yield source
            return
    with ffmpeg.opened(path, container) as coded:
        yield coded


def _parsed(file: BinaryIO) -> tuple[_Description, Piece, tuple[str, ...]]:
    """The description, the sound, and the names of its channels."""
    found: dict[bytes, Piece] = {}
    for piece in iff.pieces(file, behind_tags(file) + _HEADER_BYTES, iff.CAF):
        found.setdefault(piece.id, piece)
        if found.keys() >= {b"desc", b"data"}:
            break
    if not found.keys() >= {b"desc", b"data"}:
        raise nothing_decoded()
    fields = iff.content(file, found[b"desc"], 32).ljust(32, b"\0")
    rate, *others = struct.unpack(">d4sIIIII", fields)
    description = _Description(round(rate) if 0 < rate < 1 << 32 else 0, *others)
    layout = found.get(b"chan", _NO_LAYOUT)
    data = iff.content(file, layout, layouts.CORE_AUDIO_BYTES)
    check_limits(description.rate, description.channels)
    names = layouts.by_core_audio(data, description.channels)
    return description, found[b"data"], names


def _coding(description: _Description) -> Coding | None:
    """How the samples are written; None where they are not plain samples."""
    if description.id in _LAWS:
        return Coding(_LAWS[description.id], 1)
    if description.id != b"lpcm":
        return None
    width = description.bytes_per_packet // max(1, description.channels)
    kind: Kind = "float" if description.flags & _FLOAT else "signed"
    return Coding(kind, width or (description.bits + 7) // 8, not description.flags & _LITTLE)
