"""Coded sound that poses as 16-bit samples, as on DTS CDs and S/PDIF: where it begins, what it is.

Played as samples it is noise. It is recognised by sync words that return at equal distances; music
does not hold them once. Pure array work: it knows no file and no decoder.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from server.audio.sources.headers.dolby import AC3_WORDS

_LONGEST = 1 << 14  # words from one frame to the next: E-AC-3 in S/PDIF needs 12,288
_EQUAL = 3  # distances in a row

# Words that follow one another, each with the bits that count.
_Pattern = tuple[tuple[int, int], ...]
_DTS: Mapping[int, _Pattern] = {  # ETSI TS 102 114, 5.3 and annex E, by bits used of each word
    16: ((0x7FFE, 0xFFFF), (0x8001, 0xFFFF), (0xFC00, 0xFC00)),
    14: ((0x1FFF, 0xFFFF), (0xE800, 0xFFFF), (0x07F0, 0xFFF0)),
}
_BURST = ((0xF872, 0xFFFF), (0x4E1F, 0xFFFF))  # IEC 61937-1, 6.1.7: Pa and Pb
_BURST_HEAD = 4  # words: Pa to Pd
_AC3 = 0x0B77  # ETSI TS 102 366, 4.3.1 and E.1.3
_EAC3_VERSION = 16

# What bursts carry, by data type (IEC 61937-2), and how many bits Pd counts as one.
_PAYLOADS: Mapping[int, tuple[str, int]] = {
    1: ("AC-3", 1), 5: ("MP3", 1), 7: ("AAC", 1), 11: ("DTS", 1), 12: ("DTS", 1), 13: ("DTS", 1),
    17: ("DTS", 8), 21: ("E-AC-3", 8), 22: ("TrueHD", 8),
}  # fmt: skip
_PAUSES = (0, 3)  # data types that carry nothing


class Bitstream(NamedTuple):
    """Coded sound in words of 16 bits."""

    codec: str  # in words, as people call it
    start: int  # the word at which its first whole frame begins
    distance: int  # words from one frame to the next
    quiet: int  # the word from which on all in front of it may be the end of a cut frame, no sound
    swapped: bool  # whether the bytes of each word are the other way round
    in_bursts: bool  # whether its frames are payloads of S/PDIF's bursts


def words_of(samples: np.ndarray) -> np.ndarray | None:
    """Samples as one row of 16-bit words, uint16; None if they are not exactly that."""
    with np.errstate(over="ignore", invalid="ignore"):  # of what is no number
        scaled = samples.reshape(-1) * np.float32(32768)
        words = scaled.astype(np.int16)
    return words.view(np.uint16) if np.array_equal(words, scaled) else None


def find(words: np.ndarray) -> Bitstream | None:
    """The first coded sound in some words."""
    for swapped in (False, True):
        these = words.byteswap() if swapped else words
        if (found := _burst_stream(these)) is not None:
            return found._replace(swapped=swapped)
        for pattern in _DTS.values():
            if (repeat := _repeat(_hits(these, pattern))) is not None:
                return Bitstream("DTS", *repeat, _frame_before(*repeat), swapped, False)
        if (repeat := _ac3(these)) is not None:
            enhanced = _ac3_version(these[repeat[0] + 2]) == _EAC3_VERSION
            codec = "E-AC-3" if enhanced else "AC-3"
            return Bitstream(codec, *repeat, _frame_before(*repeat), swapped, False)
    return None


def payloads(blocks: Iterable[np.ndarray], stream: Bitstream) -> Iterator[bytes]:
    """The bytes of the coded sound in blocks of words, in pieces of any size."""
    if stream.swapped:
        blocks = (block.byteswap() for block in blocks)
    if stream.in_bursts:
        return _of_bursts(blocks)
    return (_bytes(block) for block in blocks)


def _bytes(words: np.ndarray) -> bytes:
    return words.astype(">u2").tobytes()


def _hits(words: np.ndarray, pattern: _Pattern) -> np.ndarray:
    """Where the pattern begins."""
    value, mask = pattern[0]
    hits = np.flatnonzero(words[: len(words) - len(pattern) + 1] & np.uint16(mask) == value)
    for offset, (value, mask) in enumerate(pattern[1:], 1):
        hits = hits[words[hits + offset] & np.uint16(mask) == value]
    return hits


def _repeat(hits: np.ndarray) -> tuple[int, int] | None:
    """The first of some hits at equal distances, and the distance."""
    gaps = np.diff(hits)
    if len(gaps) < _EQUAL:
        return None
    runs = np.lib.stride_tricks.sliding_window_view(gaps, _EQUAL)
    equal = np.flatnonzero((runs == runs[:, :1]).all(axis=1) & (runs[:, 0] <= _LONGEST))
    return (int(hits[equal[0]]), int(gaps[equal[0]])) if len(equal) else None


def _burst_stream(words: np.ndarray) -> Bitstream | None:
    hits = _hits(words[:-2], _BURST)
    repeat = _repeat(hits[~np.isin(words[hits + 2] & 0x1F, _PAUSES)])
    if repeat is None:
        return None
    kind = int(words[repeat[0] + 2]) & 0x1F
    codec = _PAYLOADS[kind][0] if kind in _PAYLOADS else f"data of type {kind} in S/PDIF"
    return Bitstream(codec, *repeat, min(int(hits[0]), _frame_before(*repeat)), False, True)


def _frame_before(start: int, distance: int) -> int:
    """Where the frame in front of the first one would begin, of which only the end is there."""
    return max(0, start - distance)


def _ac3(words: np.ndarray) -> tuple[int, int] | None:
    """The first of some frames of (E-)AC-3 that follow one another by the sizes they tell."""
    starts = np.flatnonzero(words[:-2] == _AC3)
    sizes = _ac3_words(words[starts + 1], words[starts + 2])
    follow = dict(zip(starts.tolist(), (starts + sizes).tolist(), strict=True))
    for start, at in follow.items():
        for _ in range(_EQUAL):
            if at not in follow or follow[at] == at:
                break
            at = follow[at]
        else:
            return start, follow[start] - start
    return None


def _ac3_words(second: np.ndarray, third: np.ndarray) -> np.ndarray:
    """Sizes of frames in words, by their second and third words; 0: there is no such frame.

    Only versions that encoders write count, unlike at the start of a file: among samples accidents
    are likelier.
    """
    version = _ac3_version(third)
    sizes = np.where((version >= 6) & (version <= 10), np.array(AC3_WORDS)[third >> 8], 0)
    return np.where(version == _EAC3_VERSION, (second & 0x7FF) + 1, sizes)


def _ac3_version(third: np.ndarray) -> np.ndarray:
    return third >> 3 & 0x1F


def _of_bursts(blocks: Iterable[np.ndarray]) -> Iterator[bytes]:
    """The payloads of bursts, each with the padding left out."""
    held: np.ndarray = np.zeros(0, np.uint16)
    for block in blocks:
        held = np.concatenate([held[-4 * _LONGEST :], block])
        done = 0
        for hit in _hits(held, _BURST).tolist():
            if hit < done:
                continue
            head = held[hit : hit + _BURST_HEAD].tolist()
            if len(head) < _BURST_HEAD:
                break
            unit = _PAYLOADS.get(head[2] & 0x1F, ("", 0))[1]
            size = head[3] * unit // 8
            end = hit + _BURST_HEAD + (size + 1) // 2
            if end > len(held):
                break
            yield _bytes(held[hit + _BURST_HEAD : end])[:size]
            done = end
        held = held[done:]
