"""The CRC-32 of a file that is written from front to back, its head excepted. Pure: no files.

A header may be corrected when all is written: the head is summed up last, the rest as it comes.
"""

import io
import zlib
from typing import NamedTuple

HEAD = 4096  # bytes in which every format's header lies
POLYNOMIAL = 0xEDB88320  # CRC-32's (ISO 3309, as in ZIP), the lowest power in the highest bit
ONE, EIGHT = 1 << 31, 1 << 23  # x to the power of 0 and of 8, written so


class Contents(NamedTuple):
    """What a file holds: its bytes, and their CRC-32."""

    size: int
    crc: int


class Checksum:
    """Is told of every write, in order."""

    def __init__(self) -> None:
        self._rest = 0  # CRC-32 of what lies behind the head
        self._size = 0

    def add(self, position: int, data: memoryview) -> None:
        """These bytes were written at `position`.

        Raises:
            UnsupportedOperation: behind the head, and not at the end (an OSError).
        """
        end = position + len(data)
        behind = data[max(0, HEAD - position) :]
        if behind:
            if end - len(behind) != max(self._size, HEAD):
                raise io.UnsupportedOperation("only the head of a file may be written again")
            self._rest = zlib.crc32(behind, self._rest)
        self._size = max(self._size, end)

    def finish(self, head: bytes) -> Contents:
        """The whole file's. head: its first HEAD bytes, or all there are, as they are now."""
        crc = combined(zlib.crc32(head), self._rest, max(0, self._size - HEAD))
        return Contents(self._size, crc)


def combined(first: int, second: int, size: int) -> int:
    """The CRC-32 of two pieces in a row from their own; the second is `size` bytes long.

    A CRC is the remainder of a polynomial over GF(2), so `size` bytes that follow multiply it by
    x^(8 size) (the method of zlib's crc32_combine).
    """
    shift, power = ONE, EIGHT
    while size:
        if size & 1:
            shift = _times(shift, power)
        power = _times(power, power)
        size >>= 1
    return _times(shift, first) ^ second


def _times(a: int, b: int) -> int:
    """The product of two polynomials over GF(2), modulo CRC-32's."""
    product = 0
    for bit in range(31, -1, -1):
        if a >> bit & 1:
            product ^= b
        b = b >> 1 ^ (POLYNOMIAL if b & 1 else 0)
    return product
