"""Reads MPEG audio, MP3 above all, frame by frame, whatever stands in front, between and behind.

Frames are found by following one another, so that neither tags with wrong sizes nor junk shift
them. What the encoder added in front and behind is left out where a LAME tag tells it.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame

from server.audio.sources.decoding.errors import FFmpegErrorsIgnored
from server.audio.sources.decoding.frames import chunks_of
from server.audio.sources.headers.mpeg import LONGEST, Kind, first_frame, mpeg_frame
from server.audio.sources.headers.open_file import file_size
from server.audio.sources.headers.tags import behind_tags
from server.audio.sources.sniffing import Container
from server.audio.sources.source import Chunk, Source, nothing_decoded

_WINDOW = 1 << 18  # bytes that are read together
_DECODERS = {1: "mp1float", 2: "mp2float", 3: "mp3float"}
_LAYOUTS = {1: "mono", 2: "stereo"}
_ESTIMATE = 100  # frames by which the length is guessed
_DECODER_DELAY = 529  # samples that any decoder of layer 3 adds in front
_ENCODERS = (b"LAME", b"Lavf", b"Lavc")  # whose tags tell what they added


class _Index(NamedTuple):
    """What the index frame of a stream tells (Xing's header, with LAME's extension)."""

    frames: int = 0  # behind it; 0: it does not tell
    size: int = 0  # bytes of all of them
    delay: int = 0  # samples that the encoder added in front
    padding: int = 0  # and behind


class _Stream(NamedTuple):
    """Frames that belong together: one of several files that were joined, mostly the only one."""

    number: int
    kind: Kind
    info: _Index


class Mp3Source(Source):
    """MPEG audio from byte `start` of an open file to byte `end`.

    Raises:
        AudioError: there is none.
    """

    def __init__(self, format: str, file: BinaryIO, start: int, end: int) -> None:
        self._file, self._end = file, end
        first = first_frame(file, start, end)
        if first is None:
            raise nothing_decoded()
        self._first = first
        super().__init__(format, self._claimed_seconds())

    def chunks(self) -> Iterator[Chunk]:
        """As `Source` says. Joined files come one after the other, each trimmed by its own tag.

        Raises AudioError also where most of it cannot be decoded.
        """
        for stream, frames in groupby(self._frames(), key=itemgetter(0)):
            sound = chunks_of(self._decoded(stream, (data for _, data in frames)))
            yield from _without(_padding(stream.info, stream.kind), sound)
        self.check_lost()

    def _frames(self) -> Iterator[tuple[_Stream, bytes]]:
        """All frames that hold sound, in order, each with its stream.

        A new stream begins with an index, which is a frame of its own, or with another kind. Frames
        that damage has taken from the middle of one are empty.
        """
        stream: _Stream | None = None
        count = size = gap = 0  # frames of the stream, their bytes, bytes that are no frames
        start: int | None = self._first
        while start is not None:
            at = behind = start
            for at, length, kind, data in self._run(start):
                behind = at + length
                index = _index(data, kind)
                if stream is None or kind != stream.kind or index is not None:
                    number = stream.number + 1 if stream else 0
                    stream = _Stream(number, kind, index or _Index())
                    count = size = gap = 0
                for _ in range(round(gap * count / size) if gap else 0):
                    yield stream, b""
                if index is None:
                    yield stream, data
                count, size, gap = count + 1, size + length, 0
            start = first_frame(self._file, behind, self._end, at + 1)
            if start is not None and behind_tags(self._file, behind) == behind:
                gap = max(0, start - behind)

    def _run(self, position: int) -> Iterator[tuple[int, int, Kind, bytes]]:
        """Frames of one kind that follow one another without a gap: position, length, kind and
        bytes of each; the file's end may cut the last one."""
        window, base = b"", position
        first: Kind | None = None
        while True:
            if position + LONGEST > base + len(window):
                self._file.seek(position)
                window, base = self._file.read(max(0, min(_WINDOW, self._end - position))), position
            found = mpeg_frame(window, position - base)
            if found is None or first not in (None, found[1]):
                return
            length, first = found
            at = position - base
            yield position, length, first, window[at : at + length]
            position += length

    def _decoded(self, stream: _Stream, frames: Iterable[bytes]) -> Iterator[AudioFrame]:
        """The frames of one stream, decoded; silence in place of each that cannot be."""
        decoder = cast(AudioCodecContext, av.CodecContext.create(_DECODERS[stream.kind.layer], "r"))
        decoder.thread_count = 1
        count = damaged = 0
        for count, data in enumerate(frames, 1):  # noqa: B007
            decoded = _decode(decoder, data) if data else []
            if not decoded:
                damaged += 1
            yield from decoded or [_silence(stream.kind)]
        if damaged:
            self.warnings.append(f"{damaged} damaged frames of MPEG audio are silent")
        length = stream.kind.samples / stream.kind.rate
        self.check_end(count * length, stream.info.frames * length)
        self.read += count * length
        self.lost += damaged * length

    def _claimed_seconds(self) -> float | None:
        """By the index, else by the size of the first frames, as if all were like them."""
        frames = list(islice(self._run(self._first), _ESTIMATE))
        _, _, kind, data = frames[0]
        index, size = _index(data, kind) or _Index(), self._end - self._first
        if not index.frames:
            length = sum(length for _, length, _, _ in frames) / len(frames)
            return size / length * kind.samples / kind.rate
        samples = index.frames * kind.samples - index.delay - index.padding
        joined = size / index.size if 0 < 2 * index.size < size else 1
        return max(0, samples) / kind.rate * joined or None


@contextmanager
def opened(path: Path, container: Container) -> Iterator[Source]:
    """Opens a file of MPEG audio. Raises as `open_source`."""
    with open(path, "rb") as file:
        yield Mp3Source(container.format, file, 0, file_size(file))


def _decode(decoder: AudioCodecContext, data: bytes) -> list[AudioFrame]:
    """What comes of one frame's bytes; nothing where they are damaged."""
    with FFmpegErrorsIgnored():
        return decoder.decode(av.Packet(data))
    return []


def _silence(kind: Kind) -> AudioFrame:
    samples = np.zeros((kind.channels, kind.samples), np.float32)
    frame = AudioFrame.from_ndarray(samples, "fltp", _LAYOUTS[kind.channels])
    frame.sample_rate = kind.rate
    return frame


def _index(frame: bytes, kind: Kind) -> _Index | None:
    """What a frame tells if it is an index (Xing, Info or VBRI) and no sound.

    The layout is Xing's, and that of the LAME tag specification, revision 1.
    """
    if kind.layer != 3:
        return None
    side = (17 if kind.channels == 1 else 32) if kind.version == 3 else 9 + 8 * (kind.channels - 1)
    at = 4 + side
    if frame[36:40] == b"VBRI":
        return _Index(int.from_bytes(frame[50:54], "big"), int.from_bytes(frame[46:50], "big"))
    if frame[at : at + 4] not in (b"Xing", b"Info"):
        return None
    flags = int.from_bytes(frame[at + 4 : at + 8], "big")
    at += 8
    fields = []
    for bit, size in ((1, 4), (2, 4), (4, 100), (8, 4)):
        present = size if flags & bit else 0
        fields.append(int.from_bytes(frame[at : at + present], "big"))
        at += present
    trim = int.from_bytes(frame[at + 21 : at + 24], "big")
    if not frame[at:].startswith(_ENCODERS):
        trim = 0
    return _Index(fields[0], fields[1], trim >> 12, trim & 0xFFF)


def _padding(index: _Index, kind: Kind) -> list[tuple[int, int]]:
    """The ranges of a stream's decoded samples that the encoder added."""
    if not index.delay and not index.padding:
        return []
    total = index.frames * kind.samples
    behind = min(total, max(0, index.padding - _DECODER_DELAY))
    return [(0, index.delay + _DECODER_DELAY), (total - behind, total)]


def _without(ranges: list[tuple[int, int]], chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """One stream's chunks without the samples in `ranges`."""
    position = 0
    for chunk in chunks:
        samples = chunk.samples
        for begin, end in reversed(ranges):
            cut = slice(max(0, begin - position), max(0, end - position))
            if cut.start < min(cut.stop, len(chunk.samples)):
                samples = np.delete(samples, cut, axis=0)
        position += len(chunk.samples)
        if len(samples):
            yield chunk._replace(samples=samples)
