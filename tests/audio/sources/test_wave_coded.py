"""Compressed sound in WAV: as long as the file says, and refused by name if nothing decodes it."""

import struct
from pathlib import Path

import numpy as np
import pytest

from server.audio.decode import probe
from server.audio.sources.opening import open_source
from server.errors import UnsupportedFormat

from ..making import RATE, tone, write_sound
from .reading import read

LENGTHS = (44_123, 100_000, 16_384, 24_001)


def coded(path: Path, count: int, channels: int, subtype: str) -> Path:
    samples = tone(count / RATE, RATE, channels)
    assert len(samples) == count
    return write_sound(path, samples, format="WAV", subtype=subtype)


@pytest.mark.parametrize("count", LENGTHS)
@pytest.mark.parametrize(("subtype", "channels"), [
    ("MS_ADPCM", 1), ("MS_ADPCM", 2), ("GSM610", 1), ("G721_32", 1),
])  # fmt: skip
def test_what_fills_the_last_block_is_left_out(
    tmp_path: Path, subtype: str, channels: int, count: int
) -> None:
    samples, _, _ = read(coded(tmp_path / "x", count, channels, subtype))
    assert len(samples) == count
    assert np.abs(samples[-1000:]).max() > 0.2


@pytest.mark.parametrize("fact", [0, 1, 22_000, 40_000, 46_000, 0xFFFFFFFF])
def test_a_wrong_count_costs_nothing(tmp_path: Path, fact: int) -> None:
    """libsndfile halves that of stereo in IMA ADPCM; others leave it out, or count bytes."""
    path = coded(tmp_path / "x", 44_123, 2, "MS_ADPCM")
    right = struct.pack("<4sII", b"fact", 4, 44_123)
    data = path.read_bytes()
    assert right in data
    path.write_bytes(data.replace(right, struct.pack("<4sII", b"fact", 4, fact)))
    samples, _, _ = read(path)
    assert len(samples) == -(-44_123 // 2036) * 2036


@pytest.mark.parametrize("filling", [1, 40])
def test_what_is_left_behind_the_last_block_is_no_sound(tmp_path: Path, filling: int) -> None:
    """SoX counts the pad byte behind an odd number of blocks of GSM."""
    path = coded(tmp_path / "x", 320 * 15 - 100, 1, "GSM610")
    data = path.read_bytes()
    at = data.index(b"data") + 4
    size = int.from_bytes(data[at : at + 4], "little") // 65 * 65
    sound = data[at + 4 : at + 4 + size] + bytes(filling)
    path.write_bytes(data[:at] + len(sound).to_bytes(4, "little") + sound)
    with open_source(path, "x") as source:
        samples = np.concatenate([chunk.samples for chunk in source.chunks()])
    assert len(samples) == 320 * 15 - 100
    assert source.warnings == []


@pytest.mark.parametrize("subtype", ["NMS_ADPCM_16", "NMS_ADPCM_24", "NMS_ADPCM_32"])
def test_what_nothing_decodes_is_named(tmp_path: Path, subtype: str) -> None:
    path = coded(tmp_path / "x", 44_123, 1, subtype)
    with pytest.raises(UnsupportedFormat, match=r"^Unsupported audio format: NMS ADPCM in WAV$"):
        probe(path, "song.wav")
