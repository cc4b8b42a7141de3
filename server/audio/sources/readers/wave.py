"""Reads WAV and its kin: RIFF, RIFX, RF64, BW64 and Sony's Wave64, with plain samples in them.

Microsoft, "Multimedia Programming Interface and Data Specifications 1.0" and "Multiple Channel
Audio Data and WAVE Files"; EBU Tech 3306 (RF64); ITU-R BS.2088 (BW64). What is compressed goes on
to the decoders that know it.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from server.audio.sources.filters.counted import CountedSource
from server.audio.sources.headers import iff, layouts
from server.audio.sources.headers.iff import Layout, Piece
from server.audio.sources.headers.tags import behind_tags
from server.audio.sources.readers import ffmpeg
from server.audio.sources.readers.coded import CodedSource
from server.audio.sources.readers.mp3 import Mp3Source
from server.audio.sources.readers.pcm import Coding, Extent, Kind, PcmSource
from server.audio.sources.sniffing import Container
from server.audio.sources.source import Source, check_limits, nothing_decoded
from server.errors import UnsupportedFormat

_PCM, _FLOAT, _ALAW, _ULAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE  # wFormatTag
_MPEG = (0x50, 0x55)
_CODED: Mapping[int, str] = {0x2000: "AC-3", 0x2001: "DTS"}
_UNKNOWN: Mapping[int, str] = {0x38: "NMS ADPCM"}  # which FFmpeg takes for AMR, and plays noise
_KINDS: Mapping[int, Kind] = {_PCM: "signed", _FLOAT: "float", _ALAW: "alaw", _ULAW: "ulaw"}
_LAYOUTS = {b"RIFX": iff.RIFX, b"riff": iff.WAVE64}
_COOL_EDIT: Mapping[int, float] = {24: 2.0**23, 32: 2.0**15}  # full scale, by bits
_COOL_EDIT_MARK = b"\2\0\1\0"  # in its 32-bit format
_PEEK = 1 << 16  # bytes of samples
_FMT_BYTES = 64  # of a format chunk, as many as are looked at
_MOST_FRAMES = 0xFFFF  # of a block, as the field for them can tell
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
    extra: bytes  # behind these fields; a PCM format has nothing there

    @property
    def block_frames(self) -> int:
        """Frames in a block of compressed sound, at most; some encoders leave the count out."""
        claimed = int.from_bytes(self.extra[2:4], "little")
        estimated = math.ceil(self.block * self.rate / max(1, self.byte_rate))
        return claimed or min(estimated, _MOST_FRAMES)


class _Wave(NamedTuple):
    layout: Layout
    end: int  # of the container, as it says
    format: WaveFormat
    sound: Piece
    frames: int  # of compressed sound, as the file counts them; 0: it does not


@contextmanager
def opened(path: Path, container: Container) -> Iterator[Source]:
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
        check_limits(wave.format.rate, wave.format.channels)
        coding = _coding(wave.format, wave.layout is iff.RIFX)
        if coding is not None:
            if _holds_cool_edit_floats(file, wave, coding):
                coding = Coding("float", 4, full_scale=_COOL_EDIT[wave.format.bits])
            channels = layouts.by_mask(wave.format.mask, wave.format.channels)
            extent = Extent(start, end, wave.sound.claimed_size(wave.layout))
            source = PcmSource(container.format, file, extent, coding, wave.format.rate, channels)
            source.warnings += iff.followed(file, end, wave.end)
            yield source
            return
    if wave.format.tag in _UNKNOWN:
        name = f"{_UNKNOWN[wave.format.tag]} in {container.format.upper()}"
        raise UnsupportedFormat(f"Unsupported audio format: {name}")
    with ffmpeg.opened(path, container) as coded:
        yield CountedSource(coded, wave.frames, wave.format.block_frames)


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
        tag, number(2, 2), number(4, 4), number(8, 4), number(12, 2), number(14, 2), mask, data[16:]
    )


def _parsed(file: BinaryIO) -> _Wave:
    begin = behind_tags(file)
    file.seek(begin)
    layout = _LAYOUTS.get(file.read(4), iff.RIFF)
    start = begin + (12 if layout.id_bytes == 4 else 40)  # behind the container's ids and size
    file.seek(begin + layout.id_bytes)
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
    end = begin + size + (0 if layout.counts_header else 8)
    count = iff.content(file, found[b"fact"], 4) if b"fact" in found else b""
    return _Wave(layout, end, fields, sound, int.from_bytes(count, layout.order))


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


def _holds_cool_edit_floats(file: BinaryIO, wave: _Wave, coding: Coding) -> bool:
    """Whether what says it is integers of 32 bits is floats of Cool Edit's, not scaled to 1.

    Its 24-bit format has no field to tell it from integers at the top of 32 bits, but these leave
    their lowest byte empty, and as floats they would be of any size.
    """
    format = wave.format
    marked = (format.bits == 24 and len(format.extra) <= 2) or format.extra[:4] == _COOL_EDIT_MARK
    if coding != Coding("signed", 4) or format.bits not in _COOL_EDIT or not marked:
        return False
    file.seek(wave.sound.start)
    data = file.read(_PEEK)
    samples = np.frombuffer(data[: len(data) // 4 * 4], "<f4")
    with np.errstate(invalid="ignore"):
        small = bool((np.abs(samples) <= 2 * _COOL_EDIT[format.bits]).all())
    return small and bool((samples.view(np.uint32) & 0xFF).any())
