"""Files that a stranger may send to do harm, and how one may end: made here, from a seed."""

import gzip
import io
import random
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from server.audio.sources.sniffing import SUPPORTED_FORMATS
from tests.audio.making import RATE, song, tone, write_av, write_sound
from tests.audio.mutations import mutated
from tests.audio.test_bad_input import wav
from tests.audio.writing import write

SECONDS = 60  # the longest song that the server takes
RATES = (0, 1, 7, 100, 7999, 8000, 11025, 44100, 96000, 192000, 192001, 10**6, 2**24, 2**31 - 1,
         2**31)  # fmt: skip
CHANNELS = (0, 1, 2, 3, 6, 8, 9, 16, 64, 255, 256, 1024)
BITS = (0, 1, 4, 8, 12, 16, 20, 24, 32, 33, 64, 65535)
SIZES = (0, 1, 3, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)
MAGICS = (b"RIFF\xff\xff\xff\xffWAVE", b"RIFX\0\0\0\0WAVE", b"fLaC", b"OggS", b"FORM\0\0\0\0AIFC",
          b"\0\0\0\x18ftypM4A ", b"\0\0\0\x01ftypM4A \xff\xff\xff\xff\xff\xff\xff\xff",
          b"\x1a\x45\xdf\xa3\x01\xff\xff\xff\xff\xff\xff\xff", b"caff\0\x01\0\0", b".snd",
          b"ID3\x04\0\0\x7f\x7f\x7f\x7f", b"wvpk\xff\xff\xff\x7f\x10\x04", b"MAC \x96\x0f", b"TTA1",
          b"\0\0\x01\xba", b"FLV\x01\x05", b"DSD \x1c\0\0\0\0\0\0\0", b"MPCK", b"\x47" * 188 * 3,
          b"Creative Voice File\x1a", b".RMF\0\0", b"#!AMR\n", b"\x7f\xfe\x80\x01")  # fmt: skip
PROSE = b"This is a song, believe me. " * 200


class Hostile(NamedTuple):
    """A file. valid: whether it must become a song (True), must not (False), or may (None)."""

    name: str
    data: bytes
    valid: bool | None = None


def hostile_files(folder: Path, seed: int, count: int) -> list[Hostile]:
    """So many of all kinds, each kind by turns; a third are truncations, which go through the
    percents and the containers together."""
    chance = random.Random(seed)
    kinds = [headers(chance), samples(chance), lies(chance), bombs(folder), mutants(folder, chance),
             garbage(chance)]  # fmt: skip
    cut = truncations(folder, chance)
    found: list[Hostile] = []
    while len(found) < count:
        if len(found) % 3 == 2 or not kinds:
            found.append(next(cut))
            continue
        kind = kinds.pop(0)
        if (one := next(kind, None)) is not None:
            found.append(one)
            kinds.append(kind)
    return found


def containers(folder: Path, seconds: float = 0.5) -> dict[str, bytes]:
    """A short song in every container that is read."""
    found = {}
    for kind in sorted(SUPPORTED_FORMATS):
        write(folder / "made", kind, song(seconds))
        found[kind] = (folder / "made").read_bytes()
    return found


def truncations(folder: Path, chance: random.Random) -> Iterator[Hostile]:
    """For ever: at every percent, of containers by turns, in an order of chance."""
    whole = containers(folder)
    while True:
        kinds, percents = list(whole), list(range(101))
        chance.shuffle(kinds)
        chance.shuffle(percents)
        for number, percent in enumerate(percents):
            kind = kinds[number % len(kinds)]
            data = whole[kind][: len(whole[kind]) * percent // 100]
            valid = {0: False, 100: True}.get(percent)
            yield Hostile(f"{percent} percent.{kind}", data, valid)


def headers(chance: random.Random) -> Iterator[Hostile]:
    """WAVs whose headers say anything."""
    body = bytes(chance.randrange(256) for _ in range(6000))
    for rate in RATES:
        yield Hostile(f"{rate} Hz.wav", wav(body, rate=rate))
    for channels in CHANNELS:
        yield Hostile(f"{channels} channels.wav", wav(body * 10, channels=channels))
    for bits in BITS:
        for tag in (1, 3):
            yield Hostile(f"{bits} bits {tag}.wav", wav(body, bits=bits, tag=tag))
    while True:
        rate, channels = chance.randrange(2**31 + 1), chance.randrange(1025)
        tag, bits = chance.choice((1, 3, 6, 7, 17, 0xFFFE)), chance.choice(BITS)
        data = wav(body, channels, rate, bits, tag)
        yield Hostile(f"{rate} Hz, {channels} channels.wav", data)


def samples(chance: random.Random) -> Iterator[Hostile]:
    """Well-formed, with samples that arithmetic does not like."""
    sound = song(0.7).astype("<f4")
    odd = {"nan": np.nan, "inf": np.inf, "minus inf": -np.inf, "huge": 3e38, "denormal": 1e-42}
    for name, value in odd.items():
        some = sound.copy()
        some[chance.randrange(1000) :: 997] = value
        for form, data in (("some", some), ("all", np.full_like(sound, value))):
            yield Hostile(f"{form} {name}.wav", wav(data.tobytes(), bits=32, tag=3), True)
    yield Hostile("doubles.wav", wav(np.full(2000, 1e300).tobytes(), bits=64, tag=3), True)
    for seconds in (1, 20):
        yield Hostile(f"silence {seconds}.wav", wav(bytes(4 * RATE * seconds)), True)
    for frames in (1, 2, 3, 100):
        yield Hostile(f"{frames} samples.wav", wav(b"\0\x40\0\xc0" * frames), True)
    for rate in (8000, 44100, 96000, 192000):
        square = np.sign(tone(0.5, rate)).astype("<f4")
        yield Hostile(f"square {rate}.wav", wav(square.tobytes(), rate=rate, bits=32, tag=3), True)
    noise = np.random.default_rng(chance.randrange(2**32)).choice([-32768, 32767], (RATE, 2))
    yield Hostile("full scale.wav", wav(noise.astype("<i2").tobytes()), True)
    yield Hostile("one side.wav", wav((sound * [1, 0]).astype("<f4").tobytes(), bits=32, tag=3))


def lies(chance: random.Random) -> Iterator[Hostile]:
    """Sizes that are not, and names that are not."""
    body = (song(0.5) * 32767).astype("<i2").tobytes()
    for size in SIZES:
        yield Hostile(f"says {size}.wav", wav(body, size=size))
    kinds = [*sorted(SUPPORTED_FORMATS), "exe", "", "wav\0.mp3", "x" * 200]
    chance.shuffle(kinds)
    for kind in kinds[:12]:
        yield Hostile(f"prose.{kind}", PROSE, False)
        yield Hostile(f"wave.{kind}", wav(body), True)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("song.wav", bytes(1 << 20))
    for name, data in {
        "page": b"<!doctype html><audio src=/etc/passwd>" + PROSE,
        "list": b"#EXTM3U\n/etc/passwd\n",
        "concat": b"ffconcat version 1.0\nfile /etc/passwd\n", "zip": packed.getvalue(),
        "gzip": gzip.compress(bytes(10 << 20)), "elf": b"\x7fELF" + bytes(5000),
        "picture": b"\x89PNG\r\n\x1a\n" + bytes(5000), "zeros": bytes(100_000), "empty": b"",
        "one byte": b"\xff", "ones": b"\xff" * 100_000,
        "session": b"v=0\r\nm=audio 49170 RTP/AVP 0\r\nc=IN IP4 127.0.0.1\r\n",
    }.items():  # fmt: skip
        yield Hostile(f"{name}.mp3", data, False)
        yield Hostile(f"{name}.wav", data, False)


def bombs(folder: Path) -> Iterator[Hostile]:
    """Small files that become long ones."""
    silence = np.zeros((4 * SECONDS * RATE, 2), np.float32)
    for kind, form, subtype in (("flac", "FLAC", "PCM_16"), ("ogg", "OGG", "VORBIS"),
                                ("mp3", "MP3", "MPEG_LAYER_III")):  # fmt: skip
        path = write_sound(folder / "bomb", silence, format=form, subtype=subtype)
        yield Hostile(f"bomb.{kind}", path.read_bytes(), False)
    for rate, channels in ((8000, 1), (8000, 8)):
        body = bytes(2 * SECONDS * rate * channels)
        yield Hostile(f"long {rate} {channels}.wav", wav(body, channels, rate, 8), False)
    for codec, container, kind in (("libopus", "webm", "webm"), ("tta", "tta", "tta"),
                                   ("flac", "matroska", "mkv")):  # fmt: skip
        path = write_av(folder / "bomb", silence, 48000, codec, container)
        yield Hostile(f"bomb.{kind}", path.read_bytes(), False)
    yield Hostile("nested.m4a", nested(b"moov", 2000))
    yield Hostile("nested.mkv", b"\x1a\x45\xdf\xa3\x80" + b"\x18\x53\x80\x67\x01" * 5000)
    yield Hostile("pages.ogg", b"OggS\0\2" + (b"OggS" + bytes(23)) * 20_000)
    yield Hostile("tags.mp3", (b"ID3\4\0\0\0\0\0\0") * 50_000)
    yield Hostile("chunks.wav", b"RIFF\xff\xff\xff\xffWAVE" + b"junk\0\0\0\0" * 100_000)
    yield Hostile("boxes.mp4", b"\0\0\0\x18ftypM4A " + bytes(12) + b"\0\0\0\x08free" * 100_000)


def nested(kind: bytes, depth: int) -> bytes:
    """Boxes in boxes."""
    inner = b""
    for _ in range(depth):
        inner = struct.pack(">I", 8 + len(inner)) + kind + inner
    return b"\0\0\0\x18ftypM4A " + bytes(12) + inner


def mutants(folder: Path, chance: random.Random) -> Iterator[Hostile]:
    """For ever: songs with bytes changed, most of them in their headers."""
    whole = containers(folder)
    while True:
        kind = chance.choice(list(whole))
        yield Hostile(f"mutant.{kind}", mutated(whole[kind], chance))


def garbage(chance: random.Random) -> Iterator[Hostile]:
    """What begins as a song, and goes on as it likes."""
    for magic in MAGICS:
        kind = chance.choice(("wav", "mp3", "flac"))
        yield Hostile(f"magic.{kind}", magic + chance.randbytes(chance.randrange(20_000)))
