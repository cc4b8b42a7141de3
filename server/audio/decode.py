"""An input file to the job's mix: finite stereo float32 at 44.1 kHz in a scratch file.

Limits are counted in samples really written, never believed from a header.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from msgspec import Struct

from server.audio.heard import Heard
from server.audio.peaks import PeakMeter
from server.audio.resample import to_mix_rate
from server.audio.sources.opening import open_source
from server.audio.sources.source import Source, nothing_decoded
from server.audio.stereo import LIMIT, to_stereo, unfit
from server.audio.writing.whole_file import write_peaks
from server.errors import AudioTooLong, in_seconds
from server.sound import SAMPLE_RATE
from server.work.scratch import FrameWriter
from server.work.steps import Steps


class Probe(Struct, frozen=True):
    """What a file is. `seconds` is what it claims, a hint only; None when it claims nothing.

    `codec` and `track` are in words, None where the format says it all, or there is one track only.
    """

    format: str
    sample_rate: int  # Hz
    channels: int
    seconds: float | None
    codec: str | None = None
    track: str | None = None


class Mix(Struct, frozen=True):
    """A decoded file: `frames` at 44.1 kHz, and what they were."""

    frames: int
    heard: Heard


def probe(path: Path, file_name: str) -> Probe:
    """Looks at a file and decodes its first samples, to be sure that it is audio.

    Args:
        path: the file, whatever it is called on this disk.
        file_name: what the user called it, for messages.

    Raises:
        UnsupportedFormat: the bytes are no audio that the decoders know.
        AudioError: they are, but nothing can be decoded from them.
    """
    with open_source(path, file_name) as source:
        chunk = next(source.chunks(), None)
        if chunk is None:
            raise nothing_decoded()
        return Probe(
            source.format, chunk.rate, len(chunk.channels), source.seconds, source.codec,
            source.track,
        )  # fmt: skip


def decode(
    source: Path, mix: Path, max_seconds: float, file_name: str = "", peaks: Path | None = None
) -> Steps[Mix]:
    """Decodes `source` into the F32 file `mix`, in blocks. A truncated file gives what it holds.

    peaks: the file for the mix's peaks, if they are wanted; it appears after the mix.

    Raises:
        UnsupportedFormat, AudioError: as `probe`; also where most of it is damaged.
        AudioTooLong: as soon as more than `max_seconds` were decoded.
    """
    meter = PeakMeter()
    with open_source(source, file_name) as audio, FrameWriter(mix) as writer:
        for block, done in _blocks(audio, max_seconds):
            writer.write(block)
            if peaks is not None:
                meter.add(block)
            yield done
        if writer.frames == 0:
            raise nothing_decoded()
    if peaks is not None:
        write_peaks(meter, peaks)
    heard = Heard(audio.format, audio.codec, audio.track, audio.warnings)
    return Mix(writer.frames, heard)


def measure(source: Path, max_seconds: float, file_name: str = "") -> Steps[int]:
    """How many frames `decode` would write, by decoding all of it. Raises as that."""
    frames = 0
    with open_source(source, file_name) as audio:
        for block, done in _blocks(audio, max_seconds):
            frames += len(block)
            yield done
    if frames == 0:
        raise nothing_decoded()
    return frames


def _blocks(audio: Source, max_seconds: float) -> Iterator[tuple[np.ndarray, float]]:
    """The source's sound at the mix's rate, in blocks of shape (frames, 2), each with the share
    of the source that ends there."""
    limit, frames = int(max_seconds * SAMPLE_RATE), 0
    expected = min(_claimed_frames(audio) or limit, limit)
    for block in to_mix_rate(_stereo(audio)):
        frames += len(block)
        if frames > limit:
            raise AudioTooLong(f"Audio is longer than {in_seconds(max_seconds)}")
        yield block, min(1.0, frames / expected)


def _stereo(audio: Source) -> Iterator[tuple[int, np.ndarray]]:
    """The source's chunks, mixed, each with its rate; the source is warned of what was mended."""
    odd = loud = 0.0  # s
    for rate, channels, samples in audio.chunks():
        no_numbers, beyond = unfit(samples)
        odd, loud = odd + no_numbers / rate, loud + beyond / rate
        yield rate, to_stereo(samples, channels)
    for seconds, what in (
        (odd, "that are no numbers became silence"),
        (loud, f"beyond {LIMIT:g} times full scale were limited"),
    ):
        if seconds:
            audio.warnings.append(f"{max(seconds, 0.01):.2f} s of samples {what}")


def _claimed_frames(audio: Source) -> int:
    return int((audio.seconds or 0) * SAMPLE_RATE)
