"""Walks files that are made of chunks: RIFF and its kin, Wave64, AIFF, CAF.

Pure positions of bytes; what a chunk means is its reader's business. Sizes are never believed:
programs write them wrong, forget the pad byte, or never come back to fill them in.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO, Literal, NamedTuple

from server.audio.sources.headers.open_file import file_size

_WINDOW = 1 << 16  # bytes
_TAIL = 1 << 20  # bytes: how far chunks behind sound of no size are looked for
_SEARCH = 1 << 24  # bytes: how far a chunk is looked for that no chain of chunks leads to
_MOST, _MOST_HITS = 1 << 14, 64  # chunks of a file, and texts in a window that look like one
_PLACEHOLDER = 0x7FFF_0000  # a 32-bit size from here on is one that nobody came back to fill in
_HUGE = 1 << 44  # and a 64-bit one
_FILES = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"riff", b"FORM", b".snd", b"dns.", b"caff")
FOLLOWED = "Another file follows in this one, which is not read"  # a warning
_WRAP = 1 << 32  # what a 32-bit size loses when it overflows


class Layout(NamedTuple):
    """How a container writes its chunks."""

    id_bytes: int
    size_bytes: int
    order: Literal["little", "big"]  # of the bytes of a size
    align: int  # a chunk's content is padded to a multiple of it
    plausible: re.Pattern[bytes]  # what an id may look like
    known: re.Pattern[bytes]  # ids that are surely some
    counts_header: bool = False  # whether a size counts id and size too


_FOUR = re.compile(rb"[A-Za-z0-9_ ().\xa9-]{4}")
_WAVE_IDS = re.compile(
    rb"data|fmt |fact|LIST|JUNK|junk|bext|iXML|id3 |ID3 |PEAK|cue |smpl|inst|ds64"
)
_AIFF_IDS = re.compile(rb"COMM|SSND|FVER|MARK|INST|NAME|AUTH|\(c\) |ANNO|ID3 |COMT|CHAN|PEAK|APPL")
# Sony's identifiers: four letters, and one of two endings.
_GUID = re.compile(rb"[a-z ]{4}(?:\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
                   rb"|\x2f\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00)", re.DOTALL)  # fmt: skip

RIFF = Layout(4, 4, "little", 2, _FOUR, _WAVE_IDS)
RIFX = Layout(4, 4, "big", 2, _FOUR, _WAVE_IDS)
AIFF = Layout(4, 4, "big", 2, _FOUR, _AIFF_IDS)
WAVE64 = Layout(16, 8, "little", 8, _GUID, _GUID, counts_header=True)
CAF = Layout(4, 8, "big", 1, _FOUR, _FOUR)


class Piece(NamedTuple):
    """One chunk of a file. `size` is what its header says of its content, true or not."""

    id: bytes
    start: int  # of its content
    size: int

    def claimed_size(self, layout: Layout) -> int:
        """Bytes that its header promises; 0 where nobody came back to fill the size in."""
        believable = _PLACEHOLDER if layout.size_bytes == 4 else _HUGE
        return self.size if 0 < self.size < believable else 0

    @property
    def end(self) -> int:
        """Where its content ends if the size is true."""
        return self.start + self.size


def content(file: BinaryIO, piece: Piece, limit: int) -> bytes:
    """The first bytes of a chunk, `limit` at most."""
    file.seek(piece.start)
    return file.read(min(max(piece.size, 0), limit))


def pieces(file: BinaryIO, start: int, layout: Layout) -> Iterator[Piece]:
    """The chunks from byte `start` on, as far as they follow one another."""
    for _ in range(_MOST):
        piece = _piece(file, start, layout)
        if piece is None:
            return
        yield piece
        if piece.end <= start:
            return
        start = _after(file, piece.end, -piece.size % layout.align, layout)


def find(file: BinaryIO, id: bytes, start: int, layout: Layout) -> Piece | None:
    """The first chunk `id` from byte `start` on whose size may be true, wherever it stands.

    For files in which the wrong size of another chunk leads astray.
    """
    length = file_size(file)
    for begin in range(start, min(length, start + _SEARCH), _WINDOW):
        file.seek(begin)
        window = file.read(_WINDOW + len(id) - 1)
        for match in islice(re.finditer(re.escape(id), window), _MOST_HITS):
            piece = _piece(file, begin + match.start(), layout)
            if piece and (piece.end <= length or piece.size >= _PLACEHOLDER):
                return piece
    return None


def sound_end(file: BinaryIO, sound: Piece, layout: Layout, container_end: int) -> int:
    """Where the samples in the chunk `sound` really end.

    Its size is true if it leads to another chunk, to the file's end (behind its padding, too), or
    beyond. If not:

    - 0 or huge, it was never filled in: known chunks that lead up to the file's end are no sound.
    - Where the container's own size is the file's, the sound goes on to its end.
    - Else it has lost its upper half, which is made up for. What follows is no sound.
    """
    length = file_size(file)
    if sound.end >= length or sound.size < 0:
        return length if sound.claimed_size(layout) else _before_chunks(file, sound, layout, length)
    pad = -sound.size % layout.align
    if sound.claimed_size(layout) and length - sound.end <= pad:
        return sound.end
    after = _after(file, sound.end, pad, layout)
    follower = _piece(file, after, layout)
    if follower and (follower.end <= length or layout.known.match(follower.id)):
        return sound.end
    if sound.size == 0 or sound.size >= _PLACEHOLDER:
        return _before_chunks(file, sound, layout, length)
    if abs(container_end - length) < 2:
        return length
    return sound.end + (length - sound.end) // _WRAP * _WRAP


def _before_chunks(file: BinaryIO, sound: Piece, layout: Layout, end: int) -> int:
    """Where known chunks begin that lead up to byte `end` without a gap, behind some sound."""
    begin = max(sound.start, end - _TAIL)
    file.seek(begin)
    window = file.read(end - begin)
    for match in reversed(list(layout.known.finditer(window))):
        piece = _piece(file, begin + match.start(), layout)
        if piece and end in (piece.end, piece.end + -piece.size % layout.align):
            end = begin + match.start()
    return end


def followed(file: BinaryIO, *ends: int) -> list[str]:
    """A warning where another file begins right behind one of the places where this one ends."""
    for end in ends:
        file.seek(min(max(end, 0), file_size(file)))  # a size may be any number
        ids = file.read(5)  # there may be a pad byte
        if ids[:4] in _FILES or ids[1:] in _FILES:
            return [FOLLOWED]
    return []


def _piece(file: BinaryIO, start: int, layout: Layout) -> Piece | None:
    """The chunk whose header is at byte `start`; None where none can be."""
    if not 0 <= start < file_size(file):
        return None
    file.seek(start)
    header = file.read(layout.id_bytes + layout.size_bytes)
    id, size = header[: layout.id_bytes], header[layout.id_bytes :]
    if len(size) < layout.size_bytes or not layout.plausible.match(id):
        return None
    signed = layout.size_bytes == 8
    counted = int.from_bytes(size, layout.order, signed=signed)
    return Piece(id, start + len(header), counted - len(header) * layout.counts_header)


def _after(file: BinaryIO, end: int, pad: int, layout: Layout) -> int:
    """Where the next chunk begins: behind the padding, or without it where it was forgotten."""
    if pad:
        file.seek(end)
        ids = file.read(pad + layout.id_bytes)
        for pattern in (layout.known, layout.plausible):
            for at in (pad, 0):
                if pattern.match(ids, at):
                    return end + at
    return end + pad
