"""What is taken for audio, by its bytes alone, and what is not."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from server.audio.sources.opening import open_source
from server.audio.sources.sniffing import SUPPORTED_FORMATS, sniff, suffix_of
from server.errors import UnsupportedFormat

from ..making import RATE, song, tone, write_av, write_sound
from ..writing import write
from .muxing import heard


def sniffed(tmp_path: Path, data: bytes) -> str | None:
    path = tmp_path / "input"
    path.write_bytes(data)
    container = sniff(path)
    return container.format if container else None


@pytest.mark.parametrize("order", ["<i2", ">i2"])
@pytest.mark.parametrize("level", [1e-3, 1e-2])
@pytest.mark.parametrize("seed", range(4))
def test_samples_without_a_header_are_no_mpeg(
    tmp_path: Path, order: str, level: float, seed: int
) -> None:
    """Quiet ones are full of sync words, and neighbours are alike."""
    walk = np.random.default_rng(seed).standard_normal((30_000, 2)).cumsum(0)
    path = tmp_path / "take.pcm"
    path.write_bytes((walk / np.abs(walk).max() * level * 32767).astype(order).tobytes())
    with (pytest.raises(UnsupportedFormat, match=r"^Unsupported audio format: \.pcm$"),
          open_source(path, path.name)):  # fmt: skip
        pass


def test_the_contract_s_four_come_first() -> None:
    assert SUPPORTED_FORMATS[:4] == ("wav", "mp3", "flac", "ogg")


def test_asking_for_the_formats_loads_no_decoder() -> None:
    script = (
        "import sys, server.audio.sources.sniffing\n"
        "print({'av', 'soundfile', 'numpy', 'soxr'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"\xff\xfb\x90\x64",
        b"this is a text, named song.wav" * 100,
        "\ufeffa text in UTF-16, whose mark looks like a sync word".encode("utf-16"),
        b"\xff" * 10_000,
        b"\xff\xf0" * 5_000,
        bytes(10_000),
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"RIFF\x10\0\0\0ACONLIST",
        b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/secret\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"ID3\x04\0\0\x7f\x7f\x7f\x7f",
        b"ID3\x04\0\0\0\0\0\0" * 9,
        b"RIFF",
        # A sync byte of MPEG-TS in every line, and what may be the rest of a header.
        b"x" + b"".join(b"G%02d %s\n" % (n, b"x" * 183) for n in range(90)),
        (b"G01 X10 Y20 Z30 " + b"F" * 30 + b"\n") * 200,
        ("x" + "".join(f"G{n:02} {'x' * 89}\n" for n in range(90))).encode("utf-16-le"),
        b"a text about OggS, OpusHead and vorbis" * 100,
        # MPEG headers in the right places, but each of another rate.
        b"".join(b"\xff\xfb" + rate + bytes(length - 3)
                 for rate, length in ((b"\x90", 417), (b"\x94", 384), (b"\x98", 576))),
    ],
)  # fmt: skip
def test_no_audio(tmp_path: Path, data: bytes) -> None:
    assert sniffed(tmp_path, data) is None


def test_random_bytes_are_no_audio(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for _ in range(30):
        assert sniffed(tmp_path, random.bytes(1 << 16)) is None


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_mp3_of_every_rate(tmp_path: Path, rate: int, channels: int, mode: str) -> None:
    path = write_sound(
        tmp_path / "mp3", tone(0.5, rate, channels), rate, format="MP3", bitrate_mode=mode
    )
    data = path.read_bytes()
    assert sniffed(tmp_path, data) == "mp3"
    assert sniffed(tmp_path, b"junk" * 1000 + data) == "mp3"


def test_mpeg_layer_2(tmp_path: Path) -> None:
    data = write_av(tmp_path / "mp2", tone(0.5), 44100, "mp2", "mp2").read_bytes()
    assert sniffed(tmp_path, data) == "mp3"


@pytest.mark.parametrize("rate", [16000, 44100, 96000])
def test_adts(tmp_path: Path, rate: int) -> None:
    data = write_av(tmp_path / "aac", tone(0.5, rate), rate, "aac", "adts").read_bytes()
    assert sniffed(tmp_path, data) == "aac"
    # A few frames are enough, and the last may be cut.
    assert sniffed(tmp_path, data[: len(data) // 5]) == "aac"


@pytest.mark.parametrize("kind", ["ts", "ac3", "eac3", "mpg", "ogg", "opus"])
@pytest.mark.parametrize("gone", [1, 100, 1000, 1001, 1188])
def test_what_begins_in_the_middle(tmp_path: Path, kind: str, gone: int) -> None:
    write(tmp_path / "whole", kind, song(3.0))
    data = (tmp_path / "whole").read_bytes()
    if kind in ("ogg", "opus"):  # whose first page must be there
        data = np.random.default_rng(gone).bytes(gone) + data
    else:
        data = data[gone:]
    assert sniffed(tmp_path, data) == kind
    samples, _ = heard(tmp_path / "input")
    assert len(samples) > 2.5 * RATE


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("song.AAC", ".aac"), ("a.tar.gz", ".gz"), ("song", ""), ("", ""), (".hidden", ".hidden"),
     ("x.<script>", ""), ("x.toolongsuffix", ""), ("x.\n", ""), ("é.ü", "")],
)  # fmt: skip
def test_suffixes_for_messages(name: str, suffix: str) -> None:
    assert suffix_of(name) == suffix
