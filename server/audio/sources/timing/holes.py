"""Holes in a file: stretches between two packets in which there is none, though there are bytes.

It tells what is damaged from what was never recorded. It knows places and times; it must not know
containers.
"""


class Holes:
    """Watches where in the file a stream's packets are, in order.

    Only for files of one stream, and containers that are searched for packets from front to back:
    elsewhere what is between two packets may be anything.
    """

    def __init__(self) -> None:
        self._at: int | None = None  # where the last packet is
        self._end = 0.0  # s: of the last packet, on the container's clock
        self._heard = 0.0  # s: packets in this place
        self._spare = 0.0  # bytes in front of this place that its neighbours do not need
        self._rate = 0.0  # bytes a second
        self._passed = (0, 0.0)  # bytes and seconds of the last place, where there is no hole
        self._bytes, self._seconds = 0, 0.0  # of all such places before

    def is_damage(self, at: int | None, start: float | None, seconds: float) -> bool:
        """True if the gap before this packet was audio once: the file has at least half the bytes
        such audio needs, and twice what its neighbours use.

        Args:
            at: the packet's place in the file; several may share one.
            start: its time on the container's clock, in seconds.
            seconds: how long it is.
        """
        if start is None:
            return False
        if at is not None and at != self._at:
            self._move(at)
        gap, self._end = start - self._end, start + seconds
        self._heard += seconds
        if not self._spare or gap <= seconds / 2 or self._spare < self._rate * gap / 2:
            return False
        self._spare, self._passed = 0.0, (0, 0.0)
        return True

    def _move(self, at: int) -> None:
        """Goes on to another place, which begins behind all that was heard in the last one."""
        size, seconds = self._passed
        self._bytes, self._seconds = self._bytes + size, self._seconds + seconds
        if seconds:
            self._rate = max(self._bytes / self._seconds, size / seconds)
        size = 0 if self._at is None else max(0, at - self._at)
        needed = self._rate * self._heard
        self._spare = size - needed if needed and size >= 2 * needed else 0.0
        self._passed = (size, self._heard)
        self._at, self._heard = at, 0.0


class Skipped:
    """How much a stream lacks where its packets do not touch, which has no container."""

    def __init__(self) -> None:
        self._end: int | None = None  # of the last packet
        self._bytes, self._seconds = 0, 0.0  # of all packets

    def seconds(self, at: int | None, size: int, seconds: float) -> float:
        """How long it is what is missing in front of a packet, by the mean of those before.

        Args:
            at: the packet's place in the file.
            size: its bytes.
            seconds: how long it is.
        """
        hole = 0 if at is None or self._end is None else max(0, at - self._end)
        lost = hole * self._seconds / self._bytes if self._bytes else 0.0
        self._end = None if at is None else at + size
        self._bytes += size
        self._seconds += seconds
        return lost
