"""Sound that fills blocks of a fixed size, in a file that counts the frames before the filling."""

from collections.abc import Iterator

from server.audio.sources.filters.filter import Filter
from server.audio.sources.source import Chunk, Source


class CountedSource(Filter):
    """Another source without what fills its last block.

    frames: how many the file says it holds. Some programs count wrong, so it is believed only
        where it leaves out less than a block; 0: it does not say.
    block: frames in a block.
    """

    def __init__(self, source: Source, frames: int, block: int) -> None:
        super().__init__(source)
        self._frames, self._block = frames, block

    def chunks(self) -> Iterator[Chunk]:
        """As `Source` says."""
        left, believed = self._frames, self._frames > 0
        held: list[Chunk] = []  # what lies behind the count
        for chunk in self._source.chunks():
            count = len(chunk.samples)
            if left:
                yield chunk._replace(samples=chunk.samples[:left])
            if count > left:
                held.append(chunk._replace(samples=chunk.samples[left:]))
            left = max(0, left - count)
            if not believed or sum(len(each.samples) for each in held) >= self._block:
                yield from held
                held.clear()
                believed = False
