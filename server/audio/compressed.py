"""Writers of FLAC and MP3 tracks: the published encoders, and MP3's gapless header."""

import struct
from pathlib import Path

import lameenc
import numpy as np
import soundfile as sf

from kernels import quantise
from server.audio.whole_file import WholeFile
from server.scratch import CHANNELS, SAMPLE_RATE

FLAC_LEVEL = 0.2  # 0 to 1: a third less work than 0.5, and four hundredths more bytes
MP3_KBITS = 320
MP3_QUALITY = 7  # LAME's 0 (slow) to 9: at 320 kbit/s the error is no larger than that of 0 or 2
MP3_FRAME = 1152  # samples of each channel
MP3_FRAME_BYTES = 144_000 * MP3_KBITS / SAMPLE_RATE  # on average: 1044 or 1045
TAG_BYTES = int(MP3_FRAME_BYTES)
MP3_DELAY = 576  # samples that LAME puts in front (its decoder_delay of 529 is the reader's own)


class FlacWriter(WholeFile):
    """Writes a FLAC by libsndfile. `wav_format`: PCM_16 or PCM_24."""

    def __init__(self, target: Path, frames: int, wav_format: str, gain: float = 1.0) -> None:
        super().__init__(target)
        self._gain, self._bits = np.float32(gain), {"PCM_16": 16, "PCM_24": 24}[wav_format]
        self._sound = sf.SoundFile(
            self.file, "w", SAMPLE_RATE, CHANNELS, wav_format, format="FLAC",
            compression_level=FLAC_LEVEL,
        )  # fmt: skip

    def write(self, block: np.ndarray) -> None:
        """Appends a float32 block of shape (frames, 2), times the gain, rounded and clipped."""
        samples = quantise(block * self._gain, self._bits)
        self._sound.write(samples)

    def finish(self) -> None:
        """Lets the encoder write its last block and its header."""
        self._sound.close()


class Mp3Writer(WholeFile):
    """Writes an MP3 by LAME: 320 kbit/s, joint stereo. `wav_format` says nothing here.

    The first frame is an Info tag (Xing's, with LAME's extension), by which decoders leave out
    what the encoder adds in front and behind: a decoded track has exactly `frames` frames.
    """

    def __init__(self, target: Path, frames: int, wav_format: str, gain: float = 1.0) -> None:
        super().__init__(target)
        self._frames, self._gain = frames, np.float32(gain)
        encoder = lameenc.Encoder()
        encoder.silence()
        encoder.set_bit_rate(MP3_KBITS)
        encoder.set_in_sample_rate(SAMPLE_RATE)
        encoder.set_channels(CHANNELS)
        encoder.set_quality(MP3_QUALITY)
        self._encoder = encoder
        self.append(info_tag(0, 0, 0))

    def write(self, block: np.ndarray) -> None:
        """Appends a float32 block of shape (frames, 2), times the gain, rounded and clipped."""
        self.append(self._encoder.encode(quantise(block * self._gain, 16).tobytes()))

    def finish(self) -> None:
        """Writes the last frames, and the tag that says how many there are."""
        self.append(self._encoder.flush())
        size = self.file.tell()
        count = round((size - TAG_BYTES) / MP3_FRAME_BYTES)
        self.file.seek(0)
        self.append(info_tag(count, size, count * MP3_FRAME - MP3_DELAY - self._frames))


def info_tag(frames: int, size: int, padding: int) -> bytes:
    """One silent MPEG-1 layer 3 frame that holds the tag.

    frames: MP3 frames after this one; size: bytes of the whole file; padding: samples at the end
    that are none of the track's. Layout: Xing's header and the LAME tag specification, rev. 1.
    """
    header = bytes((0xFF, 0xFB, 0xE0, 0x44))  # 320 kbit/s, 44.1 kHz, joint stereo, no CRC
    side = bytes(32)
    toc = bytes(i * 256 // 100 for i in range(100))
    xing = b"Info" + struct.pack(">III", 0x07, frames, size) + toc
    delays = (MP3_DELAY << 12 | max(0, min(padding, 4095))).to_bytes(3, "big")
    lame = b"LAME3.100" + bytes(12) + delays + bytes(12)
    return (header + side + xing + lame).ljust(TAG_BYTES, b"\0")
