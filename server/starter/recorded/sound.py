"""Owns reading recordings of any format into arrays: whole files, members of archives.

Knows formats and rates; nothing of what is heard.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np

RAW = {".g722": "g722"}  # formats without a header that tells them


class Recording(NamedTuple):
    """A file, or a member of a ZIP archive."""

    path: Path
    member: str = ""

    @property
    def name(self) -> str:
        """The name without folders and ending."""
        return Path(self.member or self.path).stem


def read(recording: Recording, sr: int | None = None, channels: int = 2) -> tuple[np.ndarray, int]:
    """The samples (channels, n) float32 and their rate: `sr`, by default the recording's own.

    Raises av.FFmpegError for what is no audio, ValueError for a file without an audio stream.
    """
    with opened(recording) as container:
        if not container.streams.audio:
            raise ValueError(f"{recording} holds no audio")
        stream = container.streams.audio[0]
        rate = sr or stream.rate
        layout = {1: "mono", 2: "stereo"}[channels]
        resampler = av.AudioResampler("fltp", layout, rate)
        blocks = [block.to_ndarray() for frame in container.decode(stream)
                  for block in resampler.resample(frame)]  # fmt: skip
        blocks += [block.to_ndarray() for block in resampler.resample(None)]
    return np.concatenate([np.zeros((channels, 0), np.float32), *blocks], axis=1), rate


def seconds(recording: Recording) -> float:
    """How long it lasts by its container; 0 where that does not say or cannot be read."""
    try:
        with opened(recording) as container:
            return (container.duration or 0) / av.time_base
    except av.FFmpegError:
        return 0.0


def opened(recording: Recording) -> Any:
    """The container, to be closed."""
    kind = RAW.get(recording.path.suffix)
    if not recording.member:
        return av.open(str(recording.path), format=kind)
    with zipfile.ZipFile(recording.path) as archive:
        return av.open(io.BytesIO(archive.read(recording.member)), format=kind)


def listing(place: Path, pattern: str) -> list[Recording]:
    """What lies below a folder, or in an archive, and whose path fits `pattern`; in order."""
    if place.is_dir():
        return [Recording(path) for path in sorted(place.glob(pattern))]
    with zipfile.ZipFile(place) as archive:
        return [Recording(place, name) for name in sorted(archive.namelist())
                if Path(name).match(pattern)]  # fmt: skip
