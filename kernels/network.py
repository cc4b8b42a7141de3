"""Median selection networks: which minima and maxima turn one tile of rows into its medians.

Pure Python lists; knows nothing of arrays, numba or audio.
"""

from dataclasses import dataclass
from functools import cache

BOTH, LOW, HIGH = 0, 1, 2


@dataclass(frozen=True)
class MedianNetwork:
    """A straight program over numbered slots that makes `tile` neighbouring medians at once.

    Slots 0 .. size + tile - 2 hold the input rows. A step `(kind, a, b, low, high)` puts
    min(a, b) into `low` (kind BOTH, LOW) and max(a, b) into `high` (BOTH, HIGH); targets never
    overlap the operands. Then slot `outputs[i]` holds the median of inputs i .. i + size - 1,
    for an even size the upper one, which is what `scipy.ndimage.median_filter` takes.
    """

    size: int
    tile: int
    slots: int
    steps: tuple[tuple[int, int, int, int, int], ...]
    outputs: tuple[int, ...]


@cache
def median_network(size: int, max_tile: int = 16) -> MedianNetwork:
    """Build the network for windows of `size` rows, `max_tile` windows at once where it pays.

    Neighbouring windows share what they have in common: the rows that all windows of a tile
    contain are sorted once, then each half of the tile merges in the rows that only its windows
    contain, and so on down to single windows; at every level only the ranks that can still
    become a median are kept. (The idea: A. Adams, "Fast median filters using separable sorting
    networks", SIGGRAPH 2021, in one dimension. Sorting and merging: K. Batcher 1968, in the
    form for any lengths, Knuth, TAOCP 3, 5.3.4.) Steps whose results nobody reads are dropped.
    Size 31 needs 34 minima and maxima a median. Raises ValueError for a size below 1.
    """
    if size < 1:
        raise ValueError(f"a median needs a window of at least 1, not {size}")
    tile = 1
    while 2 * tile <= min(max_tile, (size + 1) // 2):
        tile *= 2
    builder = _Builder(size + tile - 1)
    wanted: list[int] = []
    core = builder.sort(range(tile - 1, size))
    _split(builder, size, 0, tile, core, 0, wanted)
    return _assign_slots(builder, size, tile, wanted)


class _Builder:
    """Collects comparators on values that are each written once."""

    def __init__(self, inputs: int) -> None:
        self.inputs = inputs
        self.comparators: list[tuple[int, int, int, int]] = []

    def compare(self, a: int, b: int) -> list[int]:
        low = self.inputs + 2 * len(self.comparators)
        self.comparators.append((a, b, low, low + 1))
        return [low, low + 1]

    def sort(self, values: range) -> list[int]:
        if len(values) < 2:
            return list(values)
        half = 1 << ((len(values) - 1).bit_length() - 1)
        return self.merge(self.sort(values[:half]), self.sort(values[half:]))

    def merge(self, a: list[int], b: list[int]) -> list[int]:
        """Batcher's odd-even merge of two sorted lists of any lengths."""
        if not a or not b:
            return a or b
        if len(a) == len(b) == 1:
            return self.compare(a[0], b[0])
        odd = self.merge(a[0::2], b[0::2])
        even = self.merge(a[1::2], b[1::2])
        paired = min(len(odd) - 1, len(even))
        merged = odd[:1]
        for i in range(paired):
            merged += self.compare(even[i], odd[i + 1])
        return merged + odd[paired + 1 :] + even[paired:]


def _split(
    builder: _Builder, size: int, first: int, tile: int, core: list[int], rank: int, out: list[int]
) -> None:
    """Append the medians of windows first .. first + tile - 1 to `out`, in order.

    `core` is the sorted rows that all these windows share, from rank `rank` on.
    """
    missing = tile - 1
    lowest = max(0, size // 2 - missing)
    highest = min(size // 2, size - 1 - missing)
    core = core[lowest - rank : highest - rank + 1]
    if tile == 1:
        out.append(core[0])
        return
    half = tile // 2
    left = builder.sort(range(first + half - 1, first + tile - 1))
    _split(builder, size, first, half, builder.merge(core, left), lowest, out)
    right = builder.sort(range(first + size, first + size + half))
    _split(builder, size, first + half, half, builder.merge(core, right), lowest, out)


def _assign_slots(builder: _Builder, size: int, tile: int, wanted: list[int]) -> MedianNetwork:
    """Drop dead comparators, then give values slots, reusing each after its last reader."""
    live = _live(builder, wanted)
    last = {value: len(live) for value in wanted}
    for i in reversed(range(len(live))):
        for value in live[i][1:3]:
            last.setdefault(value, i)
    slot = {value: value for value in range(builder.inputs)}
    free = [value for value in range(builder.inputs) if value not in last]
    slots, steps = builder.inputs, []
    for i, (kind, a, b, low, high) in enumerate(live):
        operands = slot[a], slot[b]
        for value in (low,) * (kind != HIGH) + (high,) * (kind != LOW):
            if not free:
                free.append(slots)
                slots += 1
            slot[value] = free.pop()
        steps.append((kind, *operands, slot.get(low, 0), slot.get(high, 0)))
        free += [slot[value] for value in (a, b) if last[value] == i]
    outputs = tuple(slot[value] for value in wanted)
    return MedianNetwork(size, tile, slots, tuple(steps), outputs)


def _live(builder: _Builder, wanted: list[int]) -> list[tuple[int, int, int, int, int]]:
    read = set(wanted)
    live = []
    for a, b, low, high in reversed(builder.comparators):
        if low in read or high in read:
            kind = BOTH if low in read and high in read else LOW if low in read else HIGH
            live.append((kind, a, b, low, high))
            read |= {a, b}
    return live[::-1]
