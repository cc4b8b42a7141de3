"""Two files in one: the second is not read, and this is told."""

from pathlib import Path

import pytest

from ..making import song, write_sound
from .muxing import heard

WARNING = "Another file follows in this one, which is not read"


@pytest.mark.parametrize("seconds", [1.0, 1.00001])  # an odd number of bytes has a pad byte
@pytest.mark.parametrize("format", ["WAV", "AIFF", "AU", "CAF", "W64", "RF64"])
def test_the_second_file_is_told(tmp_path: Path, format: str, seconds: float) -> None:
    samples = song(seconds)[:, :1]
    path = write_sound(tmp_path / "in", samples, format=format, subtype="PCM_24")
    got, source = heard(path)
    assert len(got) == len(samples)
    assert source.warnings == []
    path.write_bytes(path.read_bytes() * 2)
    got, source = heard(path)
    assert len(got) == len(samples)
    assert source.warnings == [WARNING]
