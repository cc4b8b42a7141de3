"""Writes stereo 44.1 kHz WAV files, block by block, so that they appear whole or not at all.

Our own writer, because libsndfile's puts the time of day into float files (the same song must
give the same bytes) and scales 16 bit by 32767 (a decoded 16-bit sample must come back as it
was). It knows samples and bytes, nothing of jobs or tracks.
"""

import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kernels import quantise
from server.audio.track_writer import TrackWriter
from server.scratch import CHANNELS, SAMPLE_RATE

_RIFF_LIMIT = (1 << 32) - 1  # bytes that the 32-bit sizes of a RIFF header can name
_ELSEWHERE = 0xFFFFFFFF  # "see ds64", in RF64


class _Subtype(NamedTuple):
    tag: int  # wFormatTag: 1 integer PCM, 3 IEEE float
    bits: int


SUBTYPES = {"PCM_16": _Subtype(1, 16), "PCM_24": _Subtype(1, 24), "FLOAT": _Subtype(3, 32)}


def wav_header(frames: int, wav_format: str) -> bytes:
    """The header of a WAV of `frames` stereo frames; `wav_format` is a key of `SUBTYPES`.

    RIFF/WAVE (Microsoft, "Multimedia Programming Interface and Data Specifications 1.0"), with
    the `fact` chunk that non-PCM formats need; RF64 (EBU Tech 3306) from 4 GiB on.
    """
    tag, bits = SUBTYPES[wav_format]
    frame_bytes = CHANNELS * bits // 8
    size = frames * frame_bytes  # always even, so the data chunk needs no padding
    fmt = struct.pack(
        "<4sIHHIIHH", b"fmt ", 16, tag, CHANNELS, SAMPLE_RATE, SAMPLE_RATE * frame_bytes,
        frame_bytes, bits,
    )  # fmt: skip
    big = size + 128 > _RIFF_LIMIT  # 128: more than the chunks in front of the data
    if tag != 1:
        fmt += struct.pack("<4sII", b"fact", 4, _ELSEWHERE if big else frames)
    if not big:
        data = struct.pack("<4sI", b"data", size)
        return struct.pack("<4sI4s", b"RIFF", 4 + len(fmt + data) + size, b"WAVE") + fmt + data
    data = struct.pack("<4sI", b"data", _ELSEWHERE)
    riff_size = 4 + 36 + len(fmt + data) + size
    ds64 = struct.pack("<4sIQQQI", b"ds64", 28, riff_size, size, frames, 0)
    return struct.pack("<4sI4s", b"RF64", _ELSEWHERE, b"WAVE") + ds64 + fmt + data


def sample_bytes(block: np.ndarray, wav_format: str) -> np.ndarray:
    """A float32 block of shape (frames, 2), full scale 1.0, as the bytes of a WAV file.

    Integers are rounded to the nearest, ties to even, and clipped: they never wrap. Full scale
    is 2**(bits - 1), so 16-bit samples that were decoded and not changed come out equal.
    """
    if wav_format == "FLOAT":
        samples = np.ascontiguousarray(block, dtype="<f4")
    else:
        samples = quantise(block, SUBTYPES[wav_format].bits)
        samples = samples.astype(samples.dtype.newbyteorder("<"), copy=False)
    data = samples.reshape(-1, 1).view(np.uint8)
    if wav_format == "PCM_24":
        data = data[:, 1:]  # the low byte of 32 is empty
    return data.reshape(-1)


class WavWriter(TrackWriter):
    """Writes a WAV of a number of frames that is told before. Anything else leaves nothing."""

    def __init__(self, target: Path, frames: int, wav_format: str, gain: float = 1.0) -> None:
        super().__init__(target, frames, wav_format, gain)
        self._wav_format = wav_format
        self._header = wav_header(frames, wav_format)

    def begin(self) -> None:
        """Writes the header."""
        self.append(self._header)

    def put(self, block: np.ndarray) -> None:
        """Appends a block in the file's own samples."""
        self.append(sample_bytes(block, self._wav_format).data)
