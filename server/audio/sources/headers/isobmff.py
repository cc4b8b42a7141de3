"""The boxes of MP4, MOV, M4A and 3GP: what a file is, and what it says of its tracks.

ISO/IEC 14496-12, the QuickTime File Format, and ISO/IEC 23001-7 for encryption. It reads headers
alone, of whatever size the file is, and decodes nothing.
"""

import struct
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from math import inf
from typing import BinaryIO, NamedTuple

from server.audio.sources.headers.open_file import file_size
from server.audio.sources.timing.edits import Edit

_PARENTS = frozenset((b"moov", b"trak", b"edts", b"mdia", b"minf", b"stbl", b"sinf", b"mvex",
                      b"udta", b"ilst", b"moof", b"traf", b"schi"))  # fmt: skip
_TOP = frozenset((b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"wide", b"free", b"skip", b"pnot",
                  b"uuid", b"sidx", b"ssix", b"meta", b"PICT", b"emsg", b"prft", b"pdin", b"mfra",
                  b"udta"))  # fmt: skip
_FILLING = frozenset((b"wide", b"free", b"skip", b"pnot", b"uuid", b"PICT", b"sidx"))
# More than any header has that is not made to be slow.
_BOXES, _TRACKS, _DEPTH = 20_000, 64, 12
_TRAILER = 1 << 12  # bytes behind the last box that are nothing of importance
_SMALL = 1 << 16  # bytes of a box that are looked at
# Sample entries of encrypted sound, and what protects it.
_PROTECTED = {b"enca": "", b"drms": "FairPlay", b"aavd": "Audible"}
_PIFF_SENC = bytes.fromhex("a2394f525a9b4f14a2446c427c648df4")


class Box(NamedTuple):
    """A box: its type, and where its content begins and ends in the file."""

    kind: bytes
    start: int
    end: int


class Track(NamedTuple):
    """What a track says of itself. `seconds` is its length on the movie's clock, 0.0 unknown."""

    id: int
    audio: bool
    codec: str  # the four characters of its sample entry, or of what an encrypted one hides
    encryption: str | None  # the scheme: "cenc", "cbcs", "FairPlay", ...; None: clear
    edits: tuple[Edit, ...]  # empty: the whole media, from its own 0 on
    seconds: float


class Movie(NamedTuple):
    """What the headers say. No `tracks`: there is no movie header, maybe a fragment's only."""

    tracks: tuple[Track, ...]
    complete: bool  # every box of the top level lies within the file
    followed: bool = False  # by another movie, in the same file


def brand(file: BinaryIO, start: int = 0) -> str | None:
    """The public name of a file of this family that begins at `start`; None: it is none."""
    end = file_size(file)
    for box in islice(_walk(file, start, end, depth=0), 8):
        if box.kind in (b"ftyp", b"styp"):
            return _brand_name(_content(file, box, 4))
        if box.kind in (b"moov", b"moof", b"mdat"):
            return "mov"
        if box.kind not in _FILLING:
            return None
    return None


def _brand_name(major: bytes) -> str:
    if major in (b"M4A ", b"M4B ", b"M4P "):
        return "m4a"
    if major == b"qt  ":
        return "mov"
    return "3gp" if major[:2] == b"3g" else "mp4"


def read(file: BinaryIO) -> Movie:
    """The headers of an open file. What is broken in them is left out."""
    size = file_size(file)
    tracks: list[Track] = []
    smpb: tuple[int, int, int] | None = None
    timescale, fragmented, complete, hidden = 1, False, True, False
    kinds: Counter[bytes] = Counter()
    for box in islice(_walk(file, 0, size, depth=0), _BOXES):
        if box.kind not in _TOP and not box.kind.isalnum():  # the chain of boxes is torn here
            complete = complete and size - box.start < _TRAILER
        complete = complete and (box.end <= size or box.kind not in _TOP)
        kinds[box.kind] += 1
        if box.kind == b"moof" and not hidden:
            hidden = any(_is_senc(file, inner) for inner in islice(_tree(file, box), 200))
        if box.kind != b"moov" or tracks:
            continue
        boxes = list(islice(_tree(file, box), _BOXES))
        for inner in boxes:
            if inner.kind == b"mvhd":
                timescale = _timescale(_content(file, inner, 32)) or 1
            fragmented = fragmented or inner.kind == b"mvex"
            if inner.kind == b"----" and b"iTunSMPB" in (tag := _content(file, inner)):
                smpb = _smpb(tag)
        for trak in [inner for inner in boxes if inner.kind == b"trak"][:_TRACKS]:
            parts = list(islice(_tree(file, trak), _BOXES // _TRACKS))
            tracks.append(_track(file, parts, timescale, fragmented, smpb))
    if hidden:
        tracks = [t._replace(encryption=t.encryption or "cenc") if t.audio else t for t in tracks]
    # Fragments may have their movie's header again and again.
    return Movie(tuple(tracks), complete, kinds[b"moov"] > 1 and not kinds[b"moof"])


def _walk(file: BinaryIO, start: int, end: int, depth: int) -> Iterator[Box]:
    """The boxes between two places, in order; below them those inside, `depth` levels deep."""
    while start + 8 <= end:
        file.seek(start)
        header = file.read(16)
        if len(header) < 8:
            return
        size, kind, body = int.from_bytes(header[:4], "big"), header[4:8], start + 8
        if size == 1:
            size, body = int.from_bytes(header[8:16], "big"), start + 16
        stop = end if size == 0 else start + size
        if stop < body:
            return
        yield Box(kind, body, min(stop, end) if depth else stop)
        if depth and kind in _PARENTS:
            yield from _walk(file, body, min(stop, end), depth - 1)
        elif depth and kind == b"meta":
            # A full box in MP4, an ordinary one in QuickTime.
            file.seek(body + 4)
            shift = 0 if file.read(4) == b"hdlr" else 4
            yield from _walk(file, body + shift, min(stop, end), depth - 1)
        start = stop


def _tree(file: BinaryIO, box: Box) -> Iterator[Box]:
    return _walk(file, box.start, box.end, _DEPTH)


def _content(file: BinaryIO, box: Box, most: int = _SMALL) -> bytes:
    file.seek(box.start)
    return file.read(min(most, box.end - box.start))


def _track(
    file: BinaryIO,
    boxes: list[Box],
    movie_scale: int,
    fragmented: bool,
    smpb: tuple[int, int, int] | None,
) -> Track:
    """A track by the boxes inside its `trak`."""
    found = {box.kind: _content(file, box) for box in reversed(boxes)}  # the first of each kind
    header = found.get(b"tkhd", b"")
    at = 20 if header[:1] == b"\1" else 12
    number = int.from_bytes(header[at : at + 4], "big")
    media = found.get(b"mdhd", b"")
    scale, length = _timescale(media) or 1, _duration(media)
    audio = found.get(b"hdlr", b"")[8:12] == b"soun"
    codec, encryption = _sample_entry(found.get(b"stsd", b""))
    edits = _edits(found.get(b"elst", b""), movie_scale, scale, fragmented)
    if audio and smpb and not fragmented:
        edits = _gapless(edits, smpb, scale, length)
    edits = _to_the_end(edits, length / scale, 1.5 / movie_scale)
    seconds = edits[-1].start + edits[-1].duration if edits else length / scale
    if seconds == inf:
        seconds = edits[-1].start + length / scale - (edits[-1].media or 0)
    return Track(number, audio, codec, encryption, edits, max(0.0, seconds))


def _timescale(header: bytes) -> int:
    """Units a second of an `mvhd` or `mdhd`."""
    at = 20 if header[:1] == b"\1" else 12
    return int.from_bytes(header[at : at + 4], "big")


def _duration(header: bytes) -> int:
    """Duration in an `mdhd`, 0 where it is not known."""
    at, size = (24, 8) if header[:1] == b"\1" else (16, 4)
    value = int.from_bytes(header[at : at + size], "big")
    return 0 if value == (1 << 8 * size) - 1 else value


def _edits(elst: bytes, movie_scale: int, scale: int, fragmented: bool) -> tuple[Edit, ...]:
    """An edit list (8.6.6) on the movie's clock. () where there is none."""
    layout = struct.Struct(">QqI" if elst[:1] == b"\1" else ">IiI")
    count = int.from_bytes(elst[4:8], "big")
    edits, clock = [], 0.0
    for index in range(min(count, (len(elst) - 8) // layout.size)):
        duration, media, rate = layout.unpack_from(elst, 8 + index * layout.size)
        seconds = duration / movie_scale
        last = index == count - 1
        if media >= 0 and last and (duration == 0 or fragmented):
            seconds = inf  # "to the end", or known only when all fragments were
        edits.append(Edit(clock, media / scale if media >= 0 and rate else None, seconds))
        clock += seconds
    return tuple(edits)


def _gapless(
    edits: tuple[Edit, ...], smpb: tuple[int, int, int], scale: int, length: int
) -> tuple[Edit, ...]:
    """The edits by the encoder's own counts (priming, padding, samples), where they fit the
    media: they are exact, an edit list may be rounded or not there."""
    priming, padding, samples = smpb
    sound = [edit for edit in edits if edit.media is not None]
    if len(sound) > 1 or not samples or abs(priming + samples + padding - length) > 2048:
        return edits
    if sound and abs((sound[0].media or 0) * scale - priming) > max(priming, 2048):
        return edits  # it was cut since
    start = sound[0].start if sound else 0.0
    if sound and abs(sound[0].duration * scale - samples) > 2048 and sound[0].duration < inf:
        return edits
    before = tuple(edit for edit in edits if edit.media is None and edit.start < start)
    return (*before, Edit(start, priming / scale, samples / scale))


def _to_the_end(edits: tuple[Edit, ...], length: float, tick: float) -> tuple[Edit, ...]:
    """An edit that ends where the media does, but for rounding to the movie's ticks, ends there."""
    if not edits or not length or abs(edits[-1].end - length) > tick:
        return edits
    return (*edits[:-1], edits[-1]._replace(duration=length - (edits[-1].media or 0.0)))


def _sample_entry(stsd: bytes) -> tuple[str, str | None]:
    """Codec and encryption of the first sample entry (8.5.2, 8.12)."""
    entry = stsd[8:]
    kind = entry[4:8]
    if kind not in _PROTECTED:
        return _text(kind), None
    scheme, original = entry.find(b"schm"), entry.find(b"frma")
    name = _text(entry[scheme + 8 : scheme + 12]) if scheme >= 0 else ""
    codec = _text(entry[original + 4 : original + 8]) if original >= 0 else _text(kind)
    return codec, _PROTECTED[kind] or name.strip() or "an unknown scheme"


def _text(kind: bytes) -> str:
    return kind.decode("ascii", "replace") if kind.isascii() else kind.hex()


def _smpb(tag: bytes) -> tuple[int, int, int] | None:
    """(priming, padding, samples) of an iTunSMPB tag: hexadecimal words, the first is 0."""
    at = tag.find(b"data", tag.find(b"iTunSMPB"))
    words = tag[at + 12 :].split()[1:4]
    try:
        priming, padding, samples = (int(word, 16) for word in words)
    except ValueError:
        return None
    return priming, padding, samples


def _is_senc(file: BinaryIO, box: Box) -> bool:
    """Whether a box of a fragment tells how its samples are encrypted."""
    if box.kind == b"uuid":
        return _content(file, box, 16) == _PIFF_SENC
    return box.kind == b"senc"
