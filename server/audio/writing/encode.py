"""A float32 scratch file to a track: WAV, FLAC or MP3, times a gain."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from server.audio.writing.checksum import Contents
from server.audio.writing.flac import FlacWriter
from server.audio.writing.mp3 import Mp3Writer
from server.audio.writing.track_writer import TrackWriter
from server.audio.writing.wav import WavWriter
from server.work.scratch import FrameReader
from server.work.steps import Steps

BLOCK = 1 << 15  # frames; small enough for a core's own cache
WRITERS: Mapping[str, type[TrackWriter]] = MappingProxyType(
    {"WAV": WavWriter, "FLAC": FlacWriter, "MP3": Mp3Writer}
)
# The highest sample that a set of tracks may have before it is encoded. FULL is what 16 bits can
# say. MP3 takes away what is above 20 kHz, so flat tops overshoot: songs by 0.2 dB, songs that
# were limited or clipped by 6 dB and squares by up to 1.95 dB.
FULL = 1 - 2**-15
CEILINGS: Mapping[str, float] = MappingProxyType(
    {"WAV": FULL, "FLAC": FULL, "MP3": 10 ** (-2 / 20)}
)


def encode(
    source: Path,
    target: Path,
    wav_format: str,
    gain: float = 1.0,
    format: str = "WAV",
    peaks: Path | None = None,
) -> Steps[Contents]:
    """Writes the F32 file `source` as the track `target`, which appears when it is complete.

    Args:
        wav_format: one of SAMPLES, FLOAT for WAV alone; MP3 has none.
        gain: a linear factor; integers are clipped after it, float is not.
        format: WAV, FLAC or MP3 (320 kbit/s).
        peaks: the file for the track's peaks, if they are wanted.
    Returns:
        what the track's file holds.
    """
    with (
        FrameReader(source) as reader,
        WRITERS[format](target, reader.frames, wav_format, gain, peaks) as writer,
    ):
        done = 0
        for block in reader.blocks(BLOCK):
            writer.write(block)
            done += len(block)
            yield done / reader.frames
    return writer.contents


def joint_gain(peak: float, format: str) -> float:
    """The one gain of a set of tracks whose highest sample is `peak`: 1 unless that clips.

    Scaled together, the tracks still add up to the (scaled) mix.
    """
    ceiling = CEILINGS[format]
    return 1.0 if peak <= ceiling else ceiling / peak
