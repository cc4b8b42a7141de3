"""Reads WAV and its kin: RIFF, RIFX, RF64, BW64 and Sony's Wave64, with plain samples in them.

Microsoft, "Multimedia Programming Interface and Data Specifications 1.0" and "Multiple Channel
Audio Data and WAVE Files"; EBU Tech 3306 (RF64); ITU-R BS.2088 (BW64). What is compressed goes on
to the decoders that know it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from server.audio.sources import ffmpeg, iff, layouts
from server.audio.sources.coded import CodedSource
from server.audio.sources.iff import Layout, Piece
from server.audio.sources.mp3 import Mp3Source
from server.audio.sources.pcm import Coding, Kind, PcmSource
from server.audio.sources.sniffing import Container
from server.audio.sources.source import Source, check_limits, nothing_decoded

_PCM, _FLOAT, _ALAW, _ULAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE  # wFormatTag
_MPEG = (0x50, 0x55)
_CODED: Mapping[int, str] = {0x2000: "AC-3", 0x2001: "DTS"}
_KINDS: Mapping[int, Kind] = {_PCM: "signed", _FLOAT: "float", _ALAW: "alaw", _ULAW: "ulaw"}
_LAYOUTS = {b"RIFX": iff.RIFX, b"riff": iff.WAVE64}
_FMT_BYTES = 64  # of a format chunk, as many as are looked at
_DS64 = 0xFFFF_FFFF  # "the size is in the ds64 chunk"


class WaveFormat(NamedTuple):
    """What a `fmt ` chunk says (WAVEFORMATEX and WAVEFORMATEXTENSIBLE)."""

    tag: int  # of an extensible format, the one in its GUID
    channels: int
    rate: int
    byte_rate: int
    block: int  # bytes of a frame
    bits: int
    mask: int


class _Wave(NamedTuple):
    layout: Layout
    end: int  # of the container, as it says
    format: WaveFormat
    sound: Piece


@contextmanager
def opened(path: Path, container: Container, file_name: str) -> Iterator[Source]:
    """Opens any kind of WAV. Raises as `open_source`."""
    with open(path, "rb") as file:
        wave = _parsed(file)
        start = wave.sound.start
        end = iff.sound_end(file, wave.sound, wave.layout, wave.end)
        if wave.format.tag in _MPEG:
            yield Mp3Source(container.format, file, start, end)
            return
        if wave.format.tag in _CODED:
            yield CodedSource(container.format, _CODED[wave.format.tag], file, start, end)
            return
        coding = _coding(wave.format, wave.layout is iff.RIFX)
        if coding is not None:
            channels = layouts.by_mask(wave.format.mask, wave.format.channels)
            yield PcmSource(container.format, file, start, end, coding, wave.format.rate, channels)
            return
    with ffmpeg.opened(path, container, file_name) as source:
        yield source


def wave_format(data: bytes, big: bool = False) -> WaveFormat:
    """Reads the content of a `fmt ` chunk; what it is too short for is 0."""

    def number(start: int, size: int) -> int:
        field = data[start : start + size].ljust(size, b"\0")
        return int.from_bytes(field, "big" if big else "little")

    tag, mask = number(0, 2), 0
    if tag == _EXTENSIBLE:
        # The GUID of an old tag begins with that tag; without one, the bits must do.
        tag, mask = number(24, 4) or _PCM, number(20, 4)
    return WaveFormat(
        tag, number(2, 2), number(4, 4), number(8, 4), number(12, 2), number(14, 2), mask
    )


def _parsed(file: BinaryIO) -> _Wave:
    magic = file.read(4)
    layout = _LAYOUTS.get(magic, iff.RIFF)
    start = 12 if layout.id_bytes == 4 else 40  # behind the container's own ids and size
    file.seek(layout.id_bytes)
    size = int.from_bytes(file.read(layout.size_bytes), layout.order)
    found: dict[bytes, Piece] = {}
    for piece in iff.pieces(file, start, layout):
        found.setdefault(piece.id[:4], piece)
        if found.keys() >= {b"fmt ", b"data"}:
            break
    format, sound = (
        found.get(name) or iff.find(file, name, start, layout) for name in (b"fmt ", b"data")
    )
    if format is None or sound is None:
        raise nothing_decoded()
    if b"ds64" in found and sound.size == _DS64:
        sizes = iff.content(file, found[b"ds64"], 24)
        sound = sound._replace(size=int.from_bytes(sizes[8:16], "little"))
        size = int.from_bytes(sizes[:8], "little")
    fields = wave_format(iff.content(file, format, _FMT_BYTES), layout is iff.RIFX)
    check_limits(fields.rate, fields.channels)
    return _Wave(layout, size + (0 if layout.counts_header else 8), fields, sound)


def _coding(format: WaveFormat, big: bool) -> Coding | None:
    """How the samples are written; None where they are not plain samples."""
    kind = _KINDS.get(format.tag)
    if kind is None:
        return None
    width = (format.bits + 7) // 8
    stride, odd = divmod(format.block, format.channels)  # bytes that a sample really takes
    sure = not odd and format.byte_rate == format.rate * format.block
    if width == 0 or (kind == "signed" and 1 < width < stride <= 4 and sure):
        width = stride
    if kind == "signed" and width == 1:
        kind = "unsigned"
    return Coding(kind, width, big)
