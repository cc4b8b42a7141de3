"""A file of every format that is read, as far as encoders can be had; the others by hand."""

import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import av
import numpy as np

from .making import RATE, tone, write_av, write_sound
from .recorded import recorded
from .sources.coded import dts


class Way(NamedTuple):
    """How FFmpeg writes a format, and the rate and the channels that it wants."""

    codec: str
    container: str
    rate: int = RATE
    channels: int = 2


_WAYS: Mapping[str, Way] = MappingProxyType({
    "m4a": Way("aac", "ipod"), "mp4": Way("aac", "mp4"), "aac": Way("aac", "adts"),
    "webm": Way("libopus", "webm", 48000), "mkv": Way("flac", "matroska"),
    "wma": Way("wmav2", "asf"), "avi": Way("libmp3lame", "avi"), "flv": Way("libmp3lame", "flv"),
    "mpg": Way("mp2", "mpeg"),
    "rm": Way("real_144", "rm", 8000, 1), "tta": Way("tta", "tta"),
    "amr": Way("libopencore_amrnb", "amr", 8000, 1), "voc": Way("pcm_s16le", "voc"),
    "mov": Way("alac", "mov"), "3gp": Way("aac", "3gp"),
    "ts": Way("aac", "mpegts"), "ac3": Way("ac3", "ac3"), "eac3": Way("eac3", "eac3"),
})  # fmt: skip
# What no encoder here writes: (rate, channels, whether there is sound in it).
BY_HAND: Mapping[str, tuple[int, int, bool]] = MappingProxyType({
    "ape": (RATE, 2, False), "mpc": (RATE, 1, True), "thd": (48000, 2, True),
    "mlp": (48000, 1, True), "dts": (RATE, 2, True),
})  # fmt: skip
_DSD_RATE = 64 * RATE


def write(path: Path, kind: str, samples: np.ndarray | None = None, seconds: float = 1.5) -> int:
    """Writes a sound as a format; returns its rate. Default: the tone, `seconds` long.

    Those BY_HAND are always the same, and say nothing of `samples`.
    """
    if kind in BY_HAND:
        by_hand = {"ape": monkeys_audio, "dts": lambda: dts(80)}
        path.write_bytes(by_hand[kind]() if kind in by_hand else recorded(kind))
        return BY_HAND[kind][0]
    way = _WAYS.get(kind, Way("", "", 48000 if kind == "opus" else RATE))
    if samples is None:
        samples = tone(seconds, way.rate, way.channels)
    samples = samples[:, : way.channels]
    makers: dict[str, Callable[[np.ndarray], bytes]] = {"wv": wavpack, "dsf": dsf, "dff": dff}
    if kind in makers:
        path.write_bytes(makers[kind](samples))
    elif way.codec:
        write_av(path, samples, way.rate, way.codec, way.container)
    else:
        by_sndfile = {"opus": ("OGG", "OPUS"), "ogg": ("OGG", "VORBIS")}
        name, subtype = by_sndfile.get(kind, (kind.upper(), None))
        write_sound(path, samples, way.rate, format=name, subtype=subtype)
    return way.rate


def wavpack(samples: np.ndarray) -> bytes:
    """A WavPack file is its blocks, one behind the other; the first says how long all are."""
    coder = av.CodecContext.create("wavpack", "w")
    coder.sample_rate, coder.layout, coder.format = RATE, "stereo", "fltp"
    coder.open()
    out = b""
    for start in range(0, len(samples), coder.frame_size):
        part = np.ascontiguousarray(samples[start : start + coder.frame_size].T)
        frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = RATE, start
        out += b"".join(bytes(packet) for packet in coder.encode(frame))
    out += b"".join(bytes(packet) for packet in coder.encode(None))
    return out[:12] + struct.pack("<I", len(samples)) + out[16:]


def monkeys_audio(seconds: float = 1.5) -> bytes:
    """A Monkey's Audio file of one frame that says of both channels that they are silent."""
    count = round(seconds * RATE)
    frame = struct.pack("<III", 0x80000000, 3, 0) + bytes(16)
    sizes = struct.pack("<IIIIIII", 52, 24, 4, 0, len(frame), 0, 0)
    head = b"MAC " + struct.pack("<HH", 3990, 0) + sizes + bytes(16)
    head += struct.pack("<HHIIIHHI", 2000, 0, 73728, count, 1, 16, 2, RATE)
    return head + struct.pack("<I", len(head) + 4) + frame


def one_bit(samples: np.ndarray) -> np.ndarray:
    """Sigma-delta of first order at 64 times the rate: 0 and 1, (64 * samples, channels)."""
    share = np.cumsum(np.repeat(samples.astype(np.float64), 64, axis=0) / 2 + 0.5, axis=0)
    return np.diff(np.floor(share), axis=0, prepend=0).astype(np.uint8)


def dsf(samples: np.ndarray) -> bytes:
    """Sony's DSF: blocks of 4,096 bytes of each channel by turns, the first bit lowest."""
    octets = np.packbits(one_bit(samples), axis=0, bitorder="little")
    count = len(octets) * 8
    octets = np.pad(octets, ((0, -len(octets) % 4096), (0, 0)))
    data = octets.reshape(-1, 4096, 2).transpose(0, 2, 1).tobytes()
    fmt = b"fmt " + struct.pack("<QIIIIIIQII", 52, 1, 0, 2, 2, _DSD_RATE, 1, count, 4096, 0)
    body = fmt + b"data" + struct.pack("<Q", 12 + len(data)) + data
    return b"DSD " + struct.pack("<QQQ", 28, 28 + len(body), 0) + body


def dff(samples: np.ndarray) -> bytes:
    """Philips' DSDIFF: bytes of each channel by turns, the first bit highest."""
    def chunk(kind: bytes, body: bytes) -> bytes:
        return kind + struct.pack(">Q", len(body)) + body
    data = np.packbits(one_bit(samples), axis=0).tobytes()
    properties = b"SND " + chunk(b"FS  ", struct.pack(">I", _DSD_RATE))
    properties += chunk(b"CHNL", struct.pack(">H", 2) + b"SLFTSRGT")
    properties += chunk(b"CMPR", b"DSD \x0enot compressed\0")
    body = b"DSD " + chunk(b"FVER", struct.pack(">I", 0x01050000)) + chunk(b"PROP", properties)
    body += chunk(b"DSD ", data)
    return b"FRM8" + struct.pack(">Q", len(body)) + body
