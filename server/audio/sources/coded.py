"""Decodes frames that stand one behind the other without a container: DTS, AC-3 and the like.

FFmpeg's parsers find the frames in the bytes.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO, cast

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame

from server.audio.sources.frames import chunks_of
from server.audio.sources.iff import file_size
from server.audio.sources.sniffing import Container
from server.audio.sources.source import Chunk, Source, check_limits
from server.audio.sources.tags import behind_tags
from server.errors import AudioError

_BLOCK = 1 << 16  # bytes
_DECODERS: Mapping[str, str] = {
    "AC-3": "ac3", "E-AC-3": "eac3", "DTS": "dca", "MP3": "mp3float", "AAC": "aac",
}  # fmt: skip


class CodedSource(Source):
    """Frames of one codec, from byte `start` of an open file to byte `end`."""

    def __init__(self, format: str, codec: str, file: BinaryIO, start: int, end: int) -> None:
        super().__init__(format, None)
        self._codec, self._file, self._start, self._end = codec, file, start, end

    def chunks(self) -> Iterator[Chunk]:
        """As `Source` says. Raises AudioError also where nothing can be decoded."""
        frames = decoded(self._codec, self._blocks(), self.warnings)
        if (first := next(frames, None)) is None:
            raise undecodable(self._codec)
        return chunks_of(chain((first,), frames))

    def _blocks(self) -> Iterator[bytes]:
        for start in range(self._start, self._end, _BLOCK):
            self._file.seek(start)
            yield self._file.read(min(_BLOCK, self._end - start))


@contextmanager
def dts(path: Path, container: Container, file_name: str) -> Iterator[Source]:
    """Opens a file of DTS frames, in any of their four spellings. Raises as `open_source`."""
    with open(path, "rb") as file:
        yield CodedSource(container.format, "DTS", file, behind_tags(file), file_size(file))


def decoded(codec: str, coded: Iterable[bytes], warnings: list[str]) -> Iterator[AudioFrame]:
    """The frames of a codec in pieces of its bytes, cut anywhere.

    Args:
        codec: as people call it.
        warnings: takes a sentence about frames that are damaged, which are left out.

    Raises:
        AudioError: there is no decoder for it, or what comes cannot be handled.
    """
    damaged = 0
    decoder = _decoder(codec)
    for data in chain(coded, (None,)):
        for packet in decoder.parse(data):
            try:
                frames = decoder.decode(packet)
            except MemoryError:
                raise
            except av.FFmpegError:
                damaged += 1
                continue
            for frame in frames:
                check_limits(frame.sample_rate, frame.layout.nb_channels)
                yield frame
    if damaged:
        warnings.append(f"{damaged} damaged frames of {codec} were left out")


def undecodable(codec: str) -> AudioError:
    """The error for a file of which nothing can be decoded."""
    return AudioError(f"The file holds {codec}, which cannot be decoded")


def _decoder(codec: str) -> AudioCodecContext:
    if codec not in _DECODERS:
        raise undecodable(codec)
    decoder = cast(AudioCodecContext, av.CodecContext.create(_DECODERS[codec], "r"))
    decoder.thread_count = 1
    return decoder
