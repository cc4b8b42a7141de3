"""Decoded FFmpeg frames as chunks. It knows samples and their layout, no container and no codec."""

from collections.abc import Iterable, Iterator
from itertools import groupby

import numpy as np
from av.audio.fifo import AudioFifo
from av.audio.frame import AudioFrame
from av.audio.plane import AudioPlane

from server.audio.sources.source import Chunk

BLOCK = 1 << 14  # samples of each channel in one chunk: little enough for a core's own cache
_DTYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}


def chunks_of(frames: Iterable[AudioFrame]) -> Iterator[Chunk]:
    """Frames, in order, as chunks of up to `BLOCK` samples; their clocks are not looked at."""
    for (rate, _, _), alike in groupby(frames, key=_kind):
        for frame in _joined(alike):
            channels = tuple(channel.name for channel in frame.layout.channels)
            yield Chunk(rate, channels, _to_float(frame))


def _kind(frame: AudioFrame) -> tuple[int, str, str]:
    return frame.sample_rate, frame.layout.name, frame.format.name


def _joined(frames: Iterable[AudioFrame]) -> Iterator[AudioFrame]:
    """Frames of one kind as frames of `BLOCK` samples, so that array work costs little each."""
    fifo = AudioFifo()
    for frame in frames:
        frame.pts = None  # gaps in the clock are no gaps in the sound
        fifo.write(frame)
        while (block := fifo.read(BLOCK)) is not None:
            yield block
    if (rest := fifo.read(partial=True)) is not None:
        yield rest


def _to_float(frame: AudioFrame) -> np.ndarray:
    """A frame as float32 of shape (samples, channels), full scale 1.0."""
    data = _samples(frame)
    if data.dtype.kind == "f":
        with np.errstate(over="ignore"):  # a double beyond float32 becomes inf, handled later
            return data.astype(np.float32, copy=False)
    half = 1 << (8 * data.dtype.itemsize - 1)
    if data.dtype.kind == "u":
        data = data.astype(np.int16) - half
    return np.multiply(data, 1 / half, dtype=np.float32)


def _samples(frame: AudioFrame) -> np.ndarray:
    """A frame of one of `_DTYPES` as it is, of shape (samples, channels)."""
    dtype = np.dtype(_DTYPES[frame.format.name.removesuffix("p")])
    data = [np.frombuffer(plane, dtype)  # type: ignore[call-overload]  # av's stubs
            for plane in _planes(frame)]  # fmt: skip
    if frame.format.is_planar:
        return np.stack([plane[: frame.samples] for plane in data]).T
    channels = frame.layout.nb_channels
    return data[0][: frame.samples * channels].reshape(-1, channels)


def _planes(frame: AudioFrame) -> list[AudioPlane]:
    """PyAV's own `planes`, and `to_ndarray` by it, counts them up to a null pointer; behind the
    eighth there is none, and it reads whatever memory follows."""
    count = frame.layout.nb_channels if frame.format.is_planar else 1
    return [AudioPlane(frame, number) for number in range(count)]


def part(frame: AudioFrame, first: int, count: int) -> AudioFrame:
    """`count` samples of a frame, from `first` on."""
    if first == 0 and count == frame.samples:
        return frame
    cut = AudioFrame(frame.format.name, frame.layout, count)
    step = frame.format.bytes * (1 if frame.format.is_planar else frame.layout.nb_channels)
    for source, target in zip(_planes(frame), _planes(cut), strict=True):
        data = bytes(source)[first * step : (first + count) * step]
        target.update(data.ljust(target.buffer_size, b"\0"))
    cut.sample_rate = frame.sample_rate
    return cut


def silence(like: AudioFrame, rate: int, count: int) -> Iterator[AudioFrame]:
    """`count` silent samples in frames like `like`, of up to `BLOCK` samples each."""
    zero = b"\x80" if like.format.name.startswith("u8") else b"\0"
    for start in range(0, count, BLOCK):
        frame = AudioFrame(like.format.name, like.layout, min(BLOCK, count - start))
        for plane in _planes(frame):
            plane.update(zero * plane.buffer_size)
        frame.sample_rate = rate
        yield frame
