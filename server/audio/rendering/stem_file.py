"""A song and its four stems in one `.stem.m4a`, as DJ software opens it.

The format is Native Instruments' Stems: an MP4 of five stereo tracks, first the mix, which is the
only one that ordinary players play, then the stems; and an atom `moov/udta/stem` with JSON that
names and colours them. Tracks are ALAC of 16 bits: every sample keeps its place.
"""

import json
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Final

import av
import numpy as np
from msgspec import Struct

from kernels import quantise
from server.audio.rendering.mixdown import Mixer, Part, Span, highest
from server.audio.writing.encode import joint_gain
from server.sound import SAMPLE_RATE
from server.work.durable import sync_names
from server.work.scratch import part_of
from server.work.steps import Steps, share

STEMS: Final = 4  # no more and no fewer
# What players that know the format do to the mix of the stems: nothing.
MASTERING: Final = {
    "compressor": {
        "enabled": False, "input_gain": 0.0, "output_gain": 0.0, "threshold": 0.0, "dry_wet": 0.0,
        "attack": 0.003, "release": 0.3, "ratio": 1.0, "hp_cutoff": 20.0,
    },
    "limiter": {"enabled": False, "release": 0.05, "threshold": 0.0, "ceiling": 0.0},
}  # fmt: skip


class StemTrack(Struct, frozen=True):
    """One track of the file: what it is called and drawn in (`#rrggbb`), and made of."""

    name: str
    color: str
    parts: list[Part]


def stem_file(
    mix: Sequence[Part], stems: Sequence[StemTrack], target: Path, frames: int, title: str
) -> Steps[None]:
    """Writes the file, which appears when it is complete. All tracks share one gain: 1, unless
    one of them would clip.

    Raises:
        ValueError: not four stems.
        OSError, EOFError: a track is gone, or damaged.
    """
    if len(stems) != STEMS:
        raise ValueError(f"a stem file has {STEMS} stems")
    span, sums = Span(0, frames), [mix, *(stem.parts for stem in stems)]
    with ExitStack() as stack:
        mixers = [stack.enter_context(Mixer(parts)) for parts in sums]
        peak = 0.0
        for index, mixer in enumerate(mixers):
            found = yield from share(index, 2 * len(mixers), highest(mixer, span))
            peak = max(peak, found)
        part = part_of(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        stack.callback(part.unlink, missing_ok=True)
        yield from share(1, 2, _encoded(mixers, span, part, joint_gain(peak, "WAV"), title))
        with part.open("r+b") as file:
            insert_atom(file, b"stem", describe(stems))
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
        sync_names(target)


def describe(stems: Sequence[StemTrack]) -> bytes:
    """The content of the `stem` atom."""
    named = [{"name": stem.name, "color": stem.color} for stem in stems]
    return json.dumps({"version": 1, "mastering_dsp": MASTERING, "stems": named}).encode()


def _encoded(
    mixers: Sequence[Mixer], span: Span, target: Path, gain: float, title: str
) -> Steps[None]:
    with av.open(str(target), "w", format="ipod") as file:
        file.metadata["title"] = title
        streams = [file.add_stream("alac", rate=SAMPLE_RATE, layout="stereo") for _ in mixers]
        for stream in streams:
            stream.codec_context.format = "s16p"
        done = 0
        for blocks in zip(*(mixer.blocks(span) for mixer in mixers), strict=True):
            for stream, block in zip(streams, blocks, strict=True):
                samples = quantise(block * np.float32(gain), 16)
                frame = av.AudioFrame.from_ndarray(
                    np.ascontiguousarray(samples.T), format="s16p", layout="stereo"
                )
                frame.sample_rate, frame.pts = SAMPLE_RATE, done
                file.mux(stream.encode(frame))
            done += len(blocks[0])
            yield done / span.frames
        for stream in streams:
            file.mux(stream.encode(None))


def insert_atom(file: BinaryIO, name: bytes, content: bytes) -> None:
    """Puts an atom into `moov/udta` of an MP4 whose `moov` comes last: so nothing else moves.

    Raises ValueError: it does not.
    """
    begin, size = _last_atom(file)
    file.seek(begin)
    moov = file.read(size)
    if moov[4:8] != b"moov":
        raise ValueError("moov is not the last atom")
    own = _atom(name, content)
    others, udta = b"", b""
    for kind, whole in _atoms(moov[8:]):
        if kind == b"udta":
            udta += whole[8:]
        else:
            others += whole
    file.seek(begin)
    file.write(_atom(b"moov", others + _atom(b"udta", udta + own)))


def _last_atom(file: BinaryIO) -> tuple[int, int]:
    """Where it begins, and its bytes."""
    end = file.seek(0, os.SEEK_END)
    position = size = 0
    while position + size < end:
        position += size
        file.seek(position)
        (size,) = struct.unpack(">I4x", file.read(8))
        if size == 1:  # an atom of more than 4 GiB
            (size,) = struct.unpack(">Q", file.read(8))
        if size < 8:
            raise ValueError("this is no MP4")
    return position, size


def _atoms(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and bytes of each atom in a row, their heads included."""
    position = 0
    while position < len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        yield kind, data[position : position + size]
        position += max(8, size)


def _atom(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content
