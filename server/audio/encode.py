"""A float32 scratch file to a WAV file, times a gain."""

from pathlib import Path

from server.audio import Report
from server.audio.wav import WavWriter
from server.scratch import FrameReader

BLOCK = 1 << 15  # frames; small enough for a core's own cache


def encode(
    source: Path,
    target: Path,
    wav_format: str,
    gain: float = 1.0,
    report: Report | None = None,
) -> int:
    """Writes the F32 file `source` as the WAV file `target`, which appears when it is complete.

    Args:
        wav_format: PCM_16, PCM_24 or FLOAT.
        gain: a linear factor; PCM is clipped after it, float is not.
        report: is told how far it is; what it raises leaves no file.

    Returns:
        The size of `target` in bytes.
    """
    with (
        FrameReader(source) as reader,
        WavWriter(target, reader.frames, wav_format, gain) as writer,
    ):
        done = 0
        for block in reader.blocks(BLOCK):
            writer.write(block)
            done += len(block)
            if report is not None:
                report(done / reader.frames)
    return target.stat().st_size
