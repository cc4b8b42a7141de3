"""Writes stereo 44.1 kHz WAV files, block by block, so that they appear whole or not at all.

Our own writer, because libsndfile's puts the time of day into float files (the same song must
give the same bytes) and scales 16 bit by 32767 (a decoded 16-bit sample must come back as it
was). It knows samples and bytes, nothing of jobs or tracks.
"""

import struct

import numpy as np

from server.audio.writing.track_writer import Samples, TrackWriter
from server.sound import CHANNELS, SAMPLE_RATE

_RIFF_LIMIT = (1 << 32) - 1  # bytes that the 32-bit sizes of a RIFF header can name
_ELSEWHERE = 0xFFFFFFFF  # "see ds64", in RF64
_PCM, _FLOAT = 1, 3  # wFormatTag


def wav_header(frames: int, samples: Samples) -> bytes:
    """The header of a WAV of `frames` stereo frames.

    RIFF/WAVE (Microsoft, "Multimedia Programming Interface and Data Specifications 1.0"), with
    the `fact` chunk that non-PCM formats need; RF64 (EBU Tech 3306) from 4 GiB on.
    """
    tag = _FLOAT if samples.floating else _PCM
    frame_bytes = CHANNELS * samples.bits // 8
    size = frames * frame_bytes  # always even, so the data chunk needs no padding
    fmt = struct.pack(
        "<4sIHHIIHH", b"fmt ", 16, tag, CHANNELS, SAMPLE_RATE, SAMPLE_RATE * frame_bytes,
        frame_bytes, samples.bits,
    )  # fmt: skip
    big = size + 128 > _RIFF_LIMIT  # 128: more than the chunks in front of the data
    if tag != _PCM:
        fmt += struct.pack("<4sII", b"fact", 4, _ELSEWHERE if big else frames)
    if not big:
        data = struct.pack("<4sI", b"data", size)
        return struct.pack("<4sI4s", b"RIFF", 4 + len(fmt + data) + size, b"WAVE") + fmt + data
    data = struct.pack("<4sI", b"data", _ELSEWHERE)
    riff_size = 4 + 36 + len(fmt + data) + size
    ds64 = struct.pack("<4sIQQQI", b"ds64", 28, riff_size, size, frames, 0)
    return struct.pack("<4sI4s", b"RF64", _ELSEWHERE, b"WAVE") + ds64 + fmt + data


class WavWriter(TrackWriter):
    """Writes a WAV of a number of frames that is known before. Any other leaves no file.

    Full scale of integers is 2**(bits - 1), so 16-bit samples that were decoded and not changed
    come out equal (unless noise is asked for).
    """

    def begin(self) -> None:
        """Writes the header."""
        self.append(wav_header(self.frames, self.samples))

    def put(self, block: np.ndarray) -> None:
        """Appends a block in the file's own samples."""
        if self.samples.floating:
            data = np.ascontiguousarray(block, dtype="<f4")
        else:
            data = self.integers(block)
            data = data.astype(data.dtype.newbyteorder("<"), copy=False)
        octets = data.reshape(-1, 1).view(np.uint8)
        if self.samples.bits == 24:
            octets = octets[:, 1:]  # the low byte of 32 is empty
        self.append(octets.reshape(-1).data)
