"""Decodes coded sound that poses as samples, wherever a source turns out to hold it.

What stands in front of it, silence above all, keeps its length.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, groupby

import numpy as np

from server.audio.sources.decoding.coded_frames import decoded, undecodable
from server.audio.sources.decoding.frames import chunks_of
from server.audio.sources.filters import bitstreams
from server.audio.sources.filters.bitstreams import Bitstream
from server.audio.sources.filters.filter import Filter
from server.audio.sources.source import Chunk

_WINDOW = 1 << 18  # words that are searched together
_OVERLAP = 1 << 16  # words of them that are searched again with those that follow
_SEARCHED = 1 << 21  # words of sound (24 s of a CD) after which it is what it seems to be


class UnwrappedSource(Filter):
    """Another source; where its samples are no sound, they are decoded once more."""

    def chunks(self) -> Iterator[Chunk]:
        """As `Source` says.

        Raises:
            AudioError: it holds coded sound most of which cannot be decoded.
        """
        rest = self._source.chunks()
        held: list[Chunk] = []  # sound that is not judged yet
        passed, undecided = 0, True
        for chunk in rest:
            if not held and _is_silent(chunk):
                yield chunk
                continue
            undecided = passed < _SEARCHED and _may_be_coded(chunk, held)
            held.append(chunk)
            if not undecided:
                break
            if _words(held) < _WINDOW:
                continue
            if (found := bitstreams.find(_joined(held))) is not None:
                break
            while _words(held) > _OVERLAP:
                passed += held[0].samples.size
                yield held.pop(0)
        found = bitstreams.find(_joined(held)) if undecided and held else None
        if found is None:
            yield from chain(held, rest)
        else:
            yield from self._unwrapped(found, held, rest)
            self.check_lost()

    def _unwrapped(
        self, found: Bitstream, held: list[Chunk], rest: Iterator[Chunk]
    ) -> Iterator[Chunk]:
        channels = len(held[0].channels)
        front = found.start // channels
        yield from _silenced(_part(held, 0, front), found.quiet // channels)
        heard = False
        coded = chain(_part(held, front, _words(held)), rest)
        pause = 2 * found.distance  # no frame holds as many words of nothing
        for silent, stretch in groupby(coded, lambda c: c.samples.size > pause and _is_silent(c)):
            for chunk in stretch if silent else self._decoded(found, stretch):
                yield chunk
                heard = True
            if not heard:
                raise undecodable(found.codec)

    def _decoded(self, found: Bitstream, stretch: Iterable[Chunk]) -> Iterator[Chunk]:
        words = (bitstreams.words_of(chunk.samples) for chunk in stretch)
        coded = bitstreams.payloads((block for block in words if block is not None), found)
        return chunks_of(decoded(found.codec, coded, self))


def _part(chunks: list[Chunk], begin: int, end: int) -> Iterator[Chunk]:
    """The chunks from frame `begin` on to before frame `end`."""
    for chunk in chunks:
        samples = chunk.samples[max(0, begin) : max(0, end)]
        if len(samples):
            yield chunk._replace(samples=samples)
        begin, end = begin - len(chunk.samples), end - len(chunk.samples)


def _silenced(chunks: Iterable[Chunk], begin: int) -> Iterator[Chunk]:
    """The same chunks, silent from frame `begin` on."""
    for chunk in chunks:
        samples = chunk.samples.copy()
        samples[max(0, begin) :] = 0
        yield chunk._replace(samples=samples)
        begin -= len(samples)


def _may_be_coded(chunk: Chunk, held: list[Chunk]) -> bool:
    alike = not held or chunk[:2] == held[0][:2]
    return alike and bitstreams.words_of(chunk.samples) is not None


def _is_silent(chunk: Chunk) -> bool:
    with np.errstate(invalid="ignore"):  # of what is no number
        return not chunk.samples.any()


def _words(held: list[Chunk]) -> int:
    return sum(chunk.samples.size for chunk in held)


def _joined(held: list[Chunk]) -> np.ndarray:
    words = [bitstreams.words_of(chunk.samples) for chunk in held]
    return np.concatenate([each for each in words if each is not None])
