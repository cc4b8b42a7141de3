"""Reads by FFmpeg what has no reader of our own.

Containers are FFmpeg's (through PyAV) here alone. It opens nothing but the file it is given:
demuxer, protocols and codecs are all named, the first audio stream alone is decoded.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer

from server.audio.sources.frames import chunks_of
from server.audio.sources.sniffing import Container
from server.audio.sources.source import (
    Chunk,
    Source,
    check_limits,
    nothing_decoded,
    unsupported,
)
from server.errors import AudioError

_CODECS = (
    "pcm_u8", "pcm_s8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le",
    "pcm_s32be", "pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be", "pcm_alaw", "pcm_mulaw",
    "adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt", "mp1float", "mp2float", "mp3float", "mp1", "mp2",
    "mp3", "flac", "alac", "vorbis", "opus", "libopus", "aac", "wmav1", "wmav2", "wmapro",
)  # fmt: skip
_OPTIONS = {"protocol_whitelist": "file", "codec_whitelist": ",".join(_CODECS)}
_T = TypeVar("_T")


class FFmpegSource(Source):
    """A file in any container that FFmpeg reads."""

    def __init__(self, container: Container, media: InputContainer, stream: AudioStream) -> None:
        super().__init__(container.format, _claimed_seconds(media, stream))
        self._media = media
        self._stream = stream

    def chunks(self) -> Iterator[Chunk]:
        """As `Source` says."""
        return chunks_of(self._frames())

    def _frames(self) -> Iterator[AudioFrame]:
        for packet in _until_error(self._media.demux(self._stream)):
            try:
                frames = self._stream.decode(packet)
            except MemoryError:
                raise
            except av.FFmpegError:
                continue  # a damaged packet costs its own sound only
            for frame in frames:
                check_limits(frame.sample_rate, frame.layout.nb_channels)
                yield frame


@contextmanager
def opened(path: Path, container: Container, file_name: str) -> Iterator[Source]:
    """Opens a file with the demuxer that its container names. Raises as `open_source`."""
    with _open(path, container.demuxer) as media:
        yield FFmpegSource(container, media, _first_audio(media, path, file_name))


def _open(path: Path, demuxer: str) -> InputContainer:
    options = _OPTIONS
    if demuxer in ("wav", "w64"):
        # Else FFmpeg searches the samples of 16-bit files for the streams of fifty formats.
        options = options | {"probesize": "32"}
    try:
        return av.open(f"file:{path}", format=demuxer, options=options, metadata_errors="replace")
    except MemoryError:
        raise
    except av.FFmpegError:
        raise nothing_decoded() from None


def _first_audio(media: InputContainer, path: Path, file_name: str) -> AudioStream:
    if not media.streams.audio:
        raise AudioError("The file holds no audio track")
    stream = media.streams.audio[0]
    if stream.codec_context is None or stream.codec_context.codec.name not in _CODECS:
        raise unsupported(path, file_name)
    stream.codec_context.thread_count = 1
    return stream


def _claimed_seconds(media: InputContainer, stream: AudioStream) -> float | None:
    """What the header says, or FFmpeg makes of the bit rate. A hint: it may be far off."""
    if stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    else:
        seconds = (media.duration or 0) / av.time_base
    return seconds if seconds > 0 else None


def _until_error(packets: Iterable[_T]) -> Iterator[_T]:
    """Packets up to the place where the container breaks off."""
    try:
        yield from packets
    except MemoryError:
        raise
    except av.FFmpegError:
        return
