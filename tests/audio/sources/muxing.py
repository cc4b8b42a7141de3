"""Files as FFmpeg's encoders and muxers write them, with what real ones have: pictures, late
starts, lost packets, several tracks. And tools that take boxes of MP4 apart."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.stream import Disposition

from server.audio.sources.opening import open_source
from server.audio.sources.source import Source

from ..making import as_format

LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}


class Sound(NamedTuple):
    """A track to write. `late`: seconds; `lost`: whether a packet, by its number, is left out."""

    samples: np.ndarray
    rate: int
    codec: str
    late: float = 0.0
    lost: Callable[[int], bool] = lambda number: False
    default: bool | None = None
    options: dict[str, str] = {}  # noqa: RUF012 - never changed


def mux(
    path: Path, container: str, *sounds: Sound, picture: bool = False, codec: str = "mpeg4",
    options: dict[str, str] | None = None,
) -> Path:  # fmt: skip
    """Writes a file of one or more tracks, interleaved, behind a second's pictures if asked for.

    codec: of the pictures.
    """
    with av.open(str(path), "w", format=container, options=options or {}) as file:
        if picture:
            film = file.add_stream("flv" if container == "flv" else codec, rate=25)
            film.width, film.height, film.pix_fmt = 64, 64, "yuv420p"
        streams = [_added(file, sound) for sound in sounds]
        if picture:
            for number in range(25):
                image = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))
                image.pts = number
                file.mux(film.encode(image))
            file.mux(film.encode(None))
        packets = [packet for stream, sound in zip(streams, sounds, strict=True)
                   for packet in _packets(stream, sound)]  # fmt: skip
        for packet in sorted(packets, key=lambda p: float(p.dts * p.time_base)):
            file.mux(packet)
    return path


def _added(file: av.container.OutputContainer, sound: Sound) -> av.AudioStream:
    layout = LAYOUTS[sound.samples.shape[1]]
    stream = file.add_stream(sound.codec, rate=sound.rate, layout=layout,
                             options=dict(sound.options))  # fmt: skip
    context = stream.codec_context
    context.bit_rate = 64_000 * sound.samples.shape[1]
    formats = [each.name for each in context.codec.audio_formats]
    context.format = "s16p" if "s16p" in formats and "alac" in sound.codec else formats[0]
    context.open()
    if sound.default is not None:
        stream.disposition = Disposition.default if sound.default else Disposition(0)
    return stream


def _packets(stream: av.AudioStream, sound: Sound) -> list[av.Packet]:
    context = stream.codec_context
    size = context.frame_size or 1024
    offset = round(sound.late * sound.rate)
    packets = []
    for start in range(0, len(sound.samples), size):
        frame = _frame(sound.samples[start : start + size], context.format.name)
        frame.sample_rate, frame.pts = sound.rate, start + offset
        packets += stream.encode(frame)
    packets += stream.encode(None)
    return [packet for number, packet in enumerate(packets) if not sound.lost(number)]


def _frame(samples: np.ndarray, name: str) -> av.AudioFrame:
    layout = LAYOUTS[samples.shape[1]]
    if samples.shape[1] > 7:  # PyAV reads beyond so many planes; the encoder's door converts
        name = name.removesuffix("p")
    return av.AudioFrame.from_ndarray(as_format(samples, name), format=name, layout=layout)


def heard(path: Path) -> tuple[np.ndarray, Source]:
    """All samples of a file, shape (samples, channels), and the source, read to its end."""
    with open_source(path, path.name) as source:
        chunks = [chunk.samples for chunk in source.chunks()]
    return np.concatenate(chunks), source


def lag(wanted: np.ndarray, got: np.ndarray) -> int:
    """By how many samples `got` is late, by correlation of the first channels."""
    size = len(wanted) + len(got)
    spectra = np.fft.rfft(got[:, 0], size) * np.conj(np.fft.rfft(wanted[:, 0], size))
    best = int(np.argmax(np.fft.irfft(spectra, size)))
    return best if best < len(got) else best - size


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """(type, start, end) of the boxes in a stretch of an MP4 file."""
    end = len(data) if end is None else end
    while start + 8 <= end:
        size = int.from_bytes(data[start : start + 4], "big")
        yield data[start + 4 : start + 8], start, start + size
        start += size


def with_box(data: bytes, path: tuple[bytes, ...], new: bytes | None) -> bytes:
    """The file with the box at `path` replaced, or removed; added where it is not there.

    What is changed must lie behind the samples, whose places stay.
    """
    out = b""
    found = False
    for kind, start, end in boxes(data):
        if kind != path[0]:
            out += data[start:end]
            continue
        found = True
        if len(path) > 1:
            inner = with_box(data[start + 8 : end], path[1:], new)
            out += struct.pack(">I4s", len(inner) + 8, kind) + inner
        elif new is not None:
            out += new
    if not found and new is not None:
        for kind in reversed(path[:-1]):
            new = struct.pack(">I4s", len(new) + 8, kind) + new
        out += new
    return out


def elst(*edits: tuple[int, int]) -> bytes:
    """An edit list of (duration in the movie's ticks, media time)."""
    body = struct.pack(">II", 0, len(edits))
    body += b"".join(struct.pack(">IiI", length, media, 1 << 16) for length, media in edits)
    return struct.pack(">I4s", len(body) + 8, b"elst") + body
