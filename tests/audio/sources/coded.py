"""Streams of DTS as tests need them: valid frames, made by hand, of noise in a few subbands."""

import av
import numpy as np

FRAME = 512  # samples of each channel in a frame
_BANDS = 6  # of 32 in use
_BOOKS = (1, 2, 2, 2, 2, 3, 3, 3, 3, 3)  # bits of the choice of a quantiser, by resolution


class Bits:
    """Collects numbers of a few bits each."""

    def __init__(self) -> None:
        self.text = ""

    def put(self, value: int, width: int) -> None:
        self.text += format(value & (1 << width) - 1, f"0{width}b")

    def bytes(self, size: int) -> bytes:
        return int(self.text.ljust(8 * size, "0"), 2).to_bytes(size, "big")


def dts(frames: int, size: int = 2048, seed: int = 0) -> bytes:
    """Stereo at 44.1 kHz, frames of `size` bytes (ETSI TS 102 114, 5.3 and 5.4)."""
    random = np.random.default_rng(seed)
    return b"".join(_frame(size, random) for _ in range(frames))


def _frame(size: int, random: np.random.Generator) -> bytes:
    bits = Bits()
    for value, width in (
        (0x7FFE8001, 32), (1, 1), (31, 5), (0, 1), (FRAME // 32 - 1, 7), (size - 1, 14), (2, 6),
        (8, 4), (24, 5), (0, 5), (0, 3), (0, 1), (0, 1), (0, 2), (1, 1), (1, 1), (7, 4), (0, 2),
        (0, 3), (0, 1), (0, 1), (0, 4),
    ):  # fmt: skip
        bits.put(value, width)
    bits.put(1, 4)  # two subframes
    bits.put(1, 3)  # two channels
    for value, width in ((_BANDS - 2, 5), (_BANDS - 1, 5), (0, 3), (0, 2), (6, 3), (6, 3)):
        bits.put(value, width)
        bits.put(value, width)
    for book in _BOOKS:
        for _ in range(2):
            bits.put((1 << book) - 1, book)  # no Huffman codes
    for _ in range(2):
        _subframe(bits, random)
    return bits.bytes(size)


def _subframe(bits: Bits, random: np.random.Generator) -> None:
    bits.put(0, 2)  # one subsubframe
    bits.put(0, 3)
    for _ in range(2 * _BANDS):
        bits.put(0, 1)  # no prediction
    for _ in range(2 * _BANDS):
        bits.put(12, 5)  # nine bits for each sample
    for _ in range(2 * _BANDS):
        bits.put(88, 7)  # scale factor
    for _ in range(2 * _BANDS * 8):
        bits.put(int(random.integers(-200, 201)), 9)
    bits.put(0xFFFF, 16)  # the end of a subframe


def fourteen(stream: bytes, size: int = 2048) -> bytes:
    """The same in words of 16 bits that use 14, frame by frame (annex E there)."""
    out = []
    for start in range(0, len(stream), size):
        text = format(int.from_bytes(stream[start : start + size], "big"), f"0{8 * size}b")
        text = text.ljust(-(-len(text) // 28) * 28, "0")
        words = np.array([int(text[at : at + 14], 2) for at in range(0, len(text), 14)])
        out.append(np.where(words & 0x2000, words | 0xC000, words).astype(">u2").tobytes())
    return b"".join(out)


def ac3(samples: np.ndarray, rate: int, kbits: int, codec: str = "ac3") -> list[bytes]:
    """Frames of AC-3 or E-AC-3, by FFmpeg; shape (samples, 2)."""
    coder = av.CodecContext.create(codec, "w")
    coder.sample_rate, coder.layout, coder.format = rate, "stereo", "fltp"
    coder.bit_rate = 1000 * kbits
    frames = []
    for start in range(0, len(samples) - 1535, 1536):
        block = np.ascontiguousarray(samples[start : start + 1536].T)
        frame = av.AudioFrame.from_ndarray(block, "fltp", "stereo")
        frame.sample_rate, frame.pts = rate, start
        frames += [bytes(packet) for packet in coder.encode(frame)]
    return frames + [bytes(packet) for packet in coder.encode(None)]


def bursts(frames: list[bytes], kind: int, period: int, unit: int = 1) -> bytes:
    """Frames in S/PDIF's bursts (IEC 61937-1), `period` samples of two channels apart."""
    out = []
    for frame in frames:
        head = b"".join(
            n.to_bytes(2, "big") for n in (0xF872, 0x4E1F, kind, 8 * len(frame) // unit)
        )
        out.append((head + frame).ljust(4 * period, b"\0"))
    return b"".join(out)


def decoded(codec: str, stream: bytes) -> np.ndarray:
    """What FFmpeg makes of it: shape (samples, channels)."""
    decoder = av.CodecContext.create(codec, "r")
    packets = decoder.parse(stream) + decoder.parse(None)
    frames = [frame for packet in packets for frame in decoder.decode(packet)]
    return np.concatenate([frame.to_ndarray().T for frame in frames])
