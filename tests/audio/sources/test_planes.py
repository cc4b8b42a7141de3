"""Eight channels, a plane of memory each: all are heard, and nothing behind them is read.

Each file is read in a process of its own, since what reads behind them may end it.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from .muxing import Sound, mux

RATE = 48_000
LEVELS = np.array([0.4, 0.35, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05])
LOW = 3  # the LFE, which codecs make duller than the others
READ = """
import json, sys
from pathlib import Path
import numpy as np
from server.audio.sources.opening import open_source
with open_source(Path(sys.argv[1]), "x") as source:
    chunks = list(source.chunks())
samples = np.concatenate([chunk.samples for chunk in chunks])
peaks = np.abs(samples[len(samples) // 4 : -len(samples) // 4]).max(axis=0)
print(json.dumps([source.track, len(samples), chunks[0].channels, peaks.tolist()]))
"""


def eight(seconds: float = 2.0) -> np.ndarray:
    wave = np.sin(2 * np.pi * 60 * np.arange(round(seconds * RATE)) / RATE)
    return (wave[:, None] * LEVELS).astype(np.float32)


def read(path: Path) -> tuple[str | None, int]:
    """Which track was read, and how many samples; checks the channels' order and levels."""
    ran = subprocess.run([sys.executable, "-c", READ, path], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    track, count, channels, peaks = json.loads(ran.stdout)
    names = ["FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"]
    assert channels == names
    far = np.abs(np.array(peaks) - LEVELS) > 0.03
    assert not np.delete(far, LOW).any(), peaks
    return track, count


@pytest.mark.parametrize(("codec", "container", "padding"), [
    ("aac", "mp4", 0), ("aac", "adts", 2048), ("aac", "matroska", 2048), ("libopus", "ogg", 0),
    ("wavpack", "wv", 0),
])  # fmt: skip
def test_all_eight_are_heard(tmp_path: Path, codec: str, container: str, padding: int) -> None:
    samples = eight()
    path = mux(tmp_path / "in", container, Sound(samples, RATE, codec))
    track, count = read(path)
    assert track is None
    assert len(samples) <= count <= len(samples) + padding


def test_behind_a_late_start(tmp_path: Path) -> None:
    """Silence in front, and a piece of a frame."""
    path = mux(tmp_path / "in", "mp4", Sound(eight(), RATE, "aac", late=0.5), picture=True)
    _, count = read(path)
    assert count == pytest.approx(2.5 * RATE, abs=1100)


def test_a_film_of_several_tracks(tmp_path: Path) -> None:
    silent, sound = np.zeros_like(eight()), eight()
    path = mux(tmp_path / "in", "matroska", Sound(silent, RATE, "aac", default=True),
               Sound(sound, RATE, "libopus"), Sound(sound, RATE, "aac"))  # fmt: skip
    assert read(path)[0] == "2 of 3 (Opus)"
