"""Reads AIFF and AIFF-C with plain samples in them.

Apple, "Audio Interchange File Format" 1.3 and "AIFF-C" (draft of 1991), and the compression types
that QuickTime added. What is compressed goes on to the decoders that know it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from server.audio.sources.headers import iff, layouts
from server.audio.sources.headers.iff import Piece
from server.audio.sources.headers.tags import behind_tags
from server.audio.sources.readers import ffmpeg
from server.audio.sources.readers.pcm import Coding, Extent, PcmSource
from server.audio.sources.sniffing import Container
from server.audio.sources.source import Source, check_limits, nothing_decoded

_FORM_BYTES = 12  # FORM, its size, AIFF or AIFC
_COMM_BYTES = 22  # of the common chunk, up to the compression type
_NO_LAYOUT = Piece(b"CHAN", 0, 0)
_SSND_BYTES = 8  # offset and block size, in front of the samples

# By compression type, where it tells the width; of the others COMM does.
_FIXED: Mapping[bytes, Coding] = {
    b"in24": Coding("signed", 3, big=True),
    b"42ni": Coding("signed", 3),
    b"42n1": Coding("signed", 3),  # as libsndfile spells it
    b"in32": Coding("signed", 4, big=True),
    b"23ni": Coding("signed", 4),
    b"fl32": Coding("float", 4, big=True),
    b"fl64": Coding("float", 8, big=True),
    b"alaw": Coding("alaw", 1),
    b"ulaw": Coding("ulaw", 1),
}


class _Common(NamedTuple):
    channels: int
    frames: int
    bits: int
    rate: int
    compression: bytes


@contextmanager
def opened(path: Path, container: Container) -> Iterator[Source]:
    """Opens an AIFF. Raises as `open_source`."""
    with open(path, "rb") as file:
        common, sound, names, form_end = _parsed(file)
        coding = _coding(common)
        if coding is not None:
            extent = _samples(file, sound, form_end, common, coding)
            source = PcmSource(container.format, file, extent, coding, common.rate, names)
            source.warnings += iff.followed(file, extent.end, form_end)
            yield source
            return
    with ffmpeg.opened(path, container) as coded:
        yield coded


def extended(data: bytes) -> int:
    """An 80-bit extended float (IEEE 754-1985) as the integer nearest to it; 0 for nonsense."""
    exponent = int.from_bytes(data[:2], "big") - 16383
    mantissa = int.from_bytes(data[2:10], "big")
    return round(mantissa * 2.0 ** (exponent - 63)) if 0 <= exponent < 32 else 0


def _parsed(file: BinaryIO) -> tuple[_Common, Piece, tuple[str, ...], int]:
    """The common chunk, the sound chunk, the channels' names, where the form ends as it says."""
    begin = behind_tags(file)
    file.seek(begin)
    form_end = begin + 8 + int.from_bytes(file.read(8)[4:], "big")
    start = begin + _FORM_BYTES
    found: dict[bytes, Piece] = {}
    for piece in iff.pieces(file, start, iff.AIFF):
        found.setdefault(piece.id, piece)
        if found.keys() >= {b"COMM", b"SSND"}:
            break
    common, sound = (
        found.get(id) or iff.find(file, id, start, iff.AIFF) for id in (b"COMM", b"SSND")
    )
    if common is None or sound is None:
        raise nothing_decoded()
    fields = _common(iff.content(file, common, _COMM_BYTES))
    check_limits(fields.rate, fields.channels)
    layout = iff.content(file, found.get(b"CHAN", _NO_LAYOUT), layouts.CORE_AUDIO_BYTES)
    return fields, sound, layouts.by_core_audio(layout, fields.channels), form_end


def _common(data: bytes) -> _Common:
    def number(start: int, size: int) -> int:
        return int.from_bytes(data[start : start + size], "big")

    return _Common(number(0, 2), number(2, 4), number(6, 2), extended(data[8:18]), data[18:22])


def _samples(
    file: BinaryIO, sound: Piece, form_end: int, common: _Common, coding: Coding
) -> Extent:
    """Where the samples are."""
    offset = int.from_bytes(iff.content(file, sound, 4), "big")
    samples = Piece(sound.id, sound.start + _SSND_BYTES, sound.size - _SSND_BYTES)
    start, end = samples.start, iff.sound_end(file, samples, iff.AIFF, form_end)
    claimed = common.frames * common.channels * coding.width
    if samples.size <= 0 < claimed:  # never filled in, while the other count was
        end = min(end, start + claimed)
    if start + offset < end:
        start += offset
    return Extent(start, end, samples.claimed_size(iff.AIFF))


def _coding(common: _Common) -> Coding | None:
    """How the samples are written; None where they are not plain samples."""
    width = (common.bits + 7) // 8
    kind = common.compression.lower()
    if kind in (b"", b"none", b"twos", b"sowt"):
        return Coding("signed", width, big=kind != b"sowt")
    if kind == b"raw ":
        return Coding("unsigned", 1) if width == 1 else Coding("signed", width, big=True)
    return _FIXED.get(kind)
