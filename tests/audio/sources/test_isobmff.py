"""MP4 and its kin by their boxes: encryption, and headers that are broken on purpose."""

import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from server.audio.decode import decode, measure, probe
from server.audio.sources.headers import isobmff
from server.audio.sources.sniffing import sniff
from server.errors import AudioError
from server.work.steps import finish

from ..making import song
from .muxing import Sound, boxes, heard, mux, with_box


def made(path: Path, codec: str = "aac", container: str = "mp4", **options: str) -> Path:
    return mux(path, container, Sound(song(2.0), 44100, codec), options=options)


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body) + 8, kind) + body


def protected(data: bytes, entry: bytes, scheme: bytes) -> bytes:
    """The file with its sample entry as an encrypted one, in ISO's way."""
    path = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
    at = data.index(b"stsd") - 4
    stsd = data[at : at + int.from_bytes(data[at : at + 4], "big")]
    inner = stsd[16:]
    original, body = inner[4:8], inner[8:]
    sinf = box(b"frma", original)
    if scheme:
        sinf += box(b"schm", bytes(4) + scheme + b"\0\1\0\0")
        sinf += box(b"schi", box(b"tenc", bytes(4) + b"\0\0\1\x08" + bytes(16)))
    new = box(b"stsd", stsd[8:16] + box(entry, body + box(b"sinf", sinf)))
    return with_box(data, path, new)


def noise_in_the_samples(data: bytes) -> bytes:
    """What encryption makes of the sound: bytes without a pattern."""
    out = bytearray(data)
    for kind, start, end in boxes(data):
        if kind == b"mdat":
            out[start + 8 : end] = np.random.default_rng(0).bytes(end - start - 8)
    return bytes(out)


@pytest.mark.parametrize(("entry", "scheme", "told"), [
    (b"enca", b"cenc", "cenc"), (b"enca", b"cbcs", "cbcs"), (b"enca", b"cbc1", "cbc1"),
    (b"drms", b"itun", "FairPlay"), (b"drms", b"", "FairPlay"), (b"aavd", b"", "Audible"),
])  # fmt: skip
@pytest.mark.parametrize("fragmented", [False, True])
def test_encrypted(
    tmp_path: Path, entry: bytes, scheme: bytes, told: str, fragmented: bool
) -> None:
    options = {"movflags": "frag_keyframe+empty_moov+delay_moov", "frag_duration": "500000"}
    path = made(tmp_path / "in.m4a", **(options if fragmented else {}))
    data = path.read_bytes()
    if fragmented:
        first = data.index(b"moof") - 4
        data = protected(data[:first], entry, scheme) + data[first:]
    else:
        data = protected(data, entry, scheme)
    path.write_bytes(noise_in_the_samples(data))
    sentence = rf"^The audio is encrypted \({told}\) and cannot be decoded$"
    for attempt in (
        lambda: probe(path, "in.m4a"),
        lambda: finish(measure(path, 60)),
        lambda: finish(decode(path, tmp_path / "mix", 60)),
    ):
        with pytest.raises(AudioError, match=sentence):
            attempt()


def test_encrypted_fragments_behind_a_header_that_does_not_say_so(tmp_path: Path) -> None:
    options = {"movflags": "frag_keyframe+empty_moov+delay_moov", "frag_duration": "500000"}
    path = made(tmp_path / "in", **options)
    data = path.read_bytes()
    at = data.index(b"moof") - 4
    traf = next(start for kind, start, _ in boxes(data, at + 8) if kind == b"traf")
    senc = box(b"senc", bytes(8))
    out = bytearray(data[:traf + 8] + senc + data[traf + 8 :])
    for place in (at, traf):
        size = int.from_bytes(out[place : place + 4], "big") + len(senc)
        out[place : place + 4] = size.to_bytes(4, "big")
    path.write_bytes(out)
    with pytest.raises(AudioError, match="encrypted"):
        probe(path, "x")


def test_the_clear_track_beside_an_encrypted_one(tmp_path: Path) -> None:
    wanted = Sound(song(2.0), 44100, "alac")
    path = mux(tmp_path / "in", "mov", Sound(song(2.0, 1), 44100, "aac"), wanted)
    data = path.read_bytes()
    inside = boxes(data, data.index(b"moov") + 4)
    first = next(start for kind, start, _ in inside if kind == b"trak")
    size = int.from_bytes(data[first : first + 4], "big")
    trak = b"".join([box(b"moov", data[first : first + size])])
    locked = protected(trak, b"enca", b"cenc")[8:]
    moov = data.index(b"moov") - 4
    grown = int.from_bytes(data[moov : moov + 4], "big") + len(locked) - size
    path.write_bytes(data[:moov] + grown.to_bytes(4, "big") + data[moov + 4 : first] + locked
                     + data[first + size :])  # fmt: skip
    got, source = heard(path)
    assert source.track == "2 of 2 (ALAC)"
    assert np.abs(got - wanted.samples).max() < 1e-3


@pytest.mark.parametrize("size", [40, 100, 300])
def test_cut_off_before_its_header(tmp_path: Path, size: int) -> None:
    path = made(tmp_path / "in")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"mdat") + size])
    with pytest.raises(AudioError, match=r"no movie header \(moov\)"):
        probe(path, "in.mp4")


def test_a_fragment_without_its_beginning(tmp_path: Path) -> None:
    path = made(tmp_path / "in", movflags="dash+delay_moov", frag_duration="500000")
    data = path.read_bytes()
    path.write_bytes(data[data.index(b"moof") - 4 :])
    with pytest.raises(AudioError, match=r"no movie header \(moov\)"):
        probe(path, "in.m4s")


@pytest.mark.parametrize(("brand", "name"), [
    (b"M4A ", "m4a"), (b"M4B ", "m4a"), (b"isom", "mp4"), (b"mp42", "mp4"), (b"qt  ", "mov"),
    (b"3gp5", "3gp"), (b"3g2a", "3gp"), (b"dash", "mp4"),
])  # fmt: skip
def test_brands(tmp_path: Path, brand: bytes, name: str) -> None:
    path = made(tmp_path / "in")
    data = path.read_bytes()
    path.write_bytes(data[:8] + brand + data[12:])
    found = sniff(path)
    assert found is not None
    assert found.format == name


@pytest.mark.parametrize("data", [
    b"junk" * 1000, b"abcdfree", b"\0\0\0\7moov", b"\0\0\0\x08free" * 100, b"free is what I am" * 9,
    b"\0\0\0\x08wide\0\0\0\x10textabcdefgh",
])  # fmt: skip
def test_no_boxes_of_a_movie(data: bytes) -> None:
    assert isobmff.brand(io.BytesIO(data)) is None


def test_headers_that_are_made_to_be_slow() -> None:
    nested = b""
    for _ in range(5000):
        nested = box(b"moov", nested)[:1 << 20]
    many = box(b"moov", box(b"trak", b"") * 200_000)
    for data in (nested, many, box(b"free", b"") * 100_000):
        assert len(isobmff.read(io.BytesIO(data)).tracks) <= 64


def test_headers_of_random_bytes(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    data = made(tmp_path / "in").read_bytes()
    start = data.index(b"moov") - 4
    for _ in range(500):
        torn = bytearray(data)
        for place in random.integers(start, len(data), 8):
            torn[place] = random.integers(256)
        isobmff.read(io.BytesIO(bytes(torn)))


def test_channels_in_an_order_without_a_name(tmp_path: Path) -> None:
    """PyAV would free their names twice, and the process with them."""
    samples = song(0.5).repeat(3, axis=1)
    path = mux(tmp_path / "in", "mov", Sound(samples, 44100, "pcm_s16le"))
    data = path.read_bytes()
    at = data.index(b"chan") - 4
    old = data[at : at + int.from_bytes(data[at : at + 4], "big")]
    labels = (1, 3, 2, 5, 4, 6)  # left, centre, right, ...
    new = box(b"chan", bytes(12) + len(labels).to_bytes(4, "big") + b"".join(
        label.to_bytes(4, "big") + bytes(16) for label in labels))  # fmt: skip
    out = bytearray(data[:at] + new + data[at + len(old) :])
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"sowt"):
        place = out.rindex(kind, 0, at) - 4
        size = int.from_bytes(out[place : place + 4], "big") + len(new) - len(old)
        out[place : place + 4] = size.to_bytes(4, "big")
    path.write_bytes(out)
    script = (
        "import sys; from pathlib import Path; from server.audio.decode import measure, probe\n"
        "from server.work.steps import finish\n"
        "print(probe(Path(sys.argv[1]), 'x').channels, finish(measure(Path(sys.argv[1]), 9)))"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True)
    assert done.stdout.split() == ["6", "22050"], done.stderr
