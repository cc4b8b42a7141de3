"""Decoded FFmpeg frames as chunks. It knows samples and their layout, no container and no codec."""

from collections.abc import Iterable, Iterator
from itertools import groupby

import numpy as np
from av.audio.fifo import AudioFifo
from av.audio.frame import AudioFrame

from server.audio.sources.source import Chunk

BLOCK = 1 << 14  # samples of each channel in one chunk: little enough for a core's own cache


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
    data = frame.to_ndarray()
    data = data.T if frame.format.is_planar else data.reshape(-1, frame.layout.nb_channels)
    if data.dtype.kind == "f":
        with np.errstate(over="ignore"):  # a double beyond float32 becomes inf, handled later
            return data.astype(np.float32, copy=False)
    half = 1 << (8 * data.dtype.itemsize - 1)
    if data.dtype.kind == "u":
        data = data.astype(np.int16) - half
    return np.multiply(data, 1 / half, dtype=np.float32)
