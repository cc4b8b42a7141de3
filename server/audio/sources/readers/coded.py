"""Reads frames of one codec that stand in a file without a container, or as samples in a WAV."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from server.audio.sources.decoding.coded_frames import decoded, undecodable
from server.audio.sources.decoding.frames import chunks_of
from server.audio.sources.headers.open_file import file_size
from server.audio.sources.headers.tags import behind_tags
from server.audio.sources.sniffing import Container
from server.audio.sources.source import Chunk, Source

_BLOCK = 1 << 16  # bytes


class CodedSource(Source):
    """Frames of one codec, from byte `start` of an open file to byte `end`."""

    def __init__(self, format: str, codec: str, file: BinaryIO, start: int, end: int) -> None:
        super().__init__(format, None)
        self._codec, self._file, self._start, self._end = codec, file, start, end

    def chunks(self) -> Iterator[Chunk]:
        """As `Source` says. Raises AudioError also where most or all of it cannot be decoded."""
        frames = decoded(self._codec, self._blocks(), self)
        if (first := next(frames, None)) is None:
            raise undecodable(self._codec)
        yield from chunks_of(chain((first,), frames))
        self.check_lost()

    def _blocks(self) -> Iterator[bytes]:
        for start in range(self._start, self._end, _BLOCK):
            self._file.seek(start)
            yield self._file.read(min(_BLOCK, self._end - start))


@contextmanager
def dts(path: Path, container: Container) -> Iterator[Source]:
    """Opens a file of DTS frames, in any of their four spellings. Raises as `open_source`."""
    with open(path, "rb") as file:
        yield CodedSource(container.format, "DTS", file, behind_tags(file), file_size(file))
