"""Sound on its container's clock: gaps and a late start become silence, rounding does not.

It knows times and counts of samples; it must not know containers, codecs or what sound looks like.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from math import inf
from typing import Generic, NamedTuple, TypeVar

# One stamp may be wrong, or early and late by turns; so many in a row are not.
LOOKAHEAD = 8
DRIFT = 0.1  # s: what the clock may creep away from the samples before it is followed
BACKWARDS = 1.0  # s: a clock that goes back so far was set anew

Sound = TypeVar("Sound")


class Piece(NamedTuple, Generic[Sound]):
    """`length` samples from `first` on of a decoded `sound`; None is silence.

    `start` is the time of the first of them on the container's clock, in seconds; None: right
    behind the piece before. `torn`: what is missing right in front of it is damaged.
    """

    start: float | None
    rate: int
    length: int
    sound: Sound | None
    first: int = 0
    torn: bool = False

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.length / self.rate

    def cut(self, first: int, last: int) -> "Piece[Sound]":
        """Its samples `first` to `last`."""
        start = None if self.start is None else self.start + first / self.rate
        return self._replace(start=start, length=last - first, first=self.first + first)


class Clock(NamedTuple):
    """What a container's clock is worth."""

    tick: float  # s: the unit of its stamps
    origin: float = 0.0  # s: where its time begins
    stamped: bool = True  # False: the stamps were counted from the samples, there are no gaps
    end: float = 0.0  # s: where its time ends at least, whether there is sound or not
    longest: float = inf  # s: a longer gap is a clock that was set anew
    jitter: float = 0.02  # s: a jump beyond it is a gap, however long the pieces are


class Places:
    """Places in time, added up: where and for how long something happened."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.count = 0
        self.first = 0.0
        self._end = -inf

    def add(self, at: float, seconds: float) -> None:
        """Notes `seconds` from `at` on; what adjoins the last place belongs to it."""
        if self.count == 0:
            self.first = at
        if at > self._end + 1e-6:
            self.count += 1
        self.seconds += seconds
        self._end = at + seconds

    def __str__(self) -> str:
        length = f"{max(self.seconds, 0.01):.2f} s"
        if self.count == 1:
            return f"{length} at {self.first:.1f} s"
        return f"{length} in {self.count} places, the first at {self.first:.1f} s,"


class Timeline(Generic[Sound]):
    """Puts pieces in their places. `seconds` is how much has come out so far."""

    def __init__(self, clock: Clock) -> None:
        self.seconds = 0.0
        self.lost = Places()  # silent pieces that came in, and what is torn out
        self.filled = Places()  # gaps
        self._clock = clock
        self._now = clock.origin  # the clock's time of what comes out next
        self._begun = False
        self._held: deque[Piece[Sound]] = deque()
        self._rate = 0  # Hz, of what is being placed
        self._packet = 0.0  # s: how long the last piece was
        self._recent: deque[float] = deque([0.0], LOOKAHEAD)  # how late the last pieces were

    def place(self, pieces: Iterable[Piece[Sound]]) -> Iterator[Piece[Sound]]:
        """The pieces, and silence where the clock says that there is nothing."""
        rounding = 1.5 * self._clock.tick
        for piece in self._from_the_first_sound(pieces):
            if self.seconds and not self._held and piece.start is not None:
                late = piece.start - self._now
                if -BACKWARDS < late <= rounding:  # nearly all: this is their short way
                    self._recent.append(late)
                    yield self._out(piece)
                    continue
            self._held.append(piece)
            yield from self._released(LOOKAHEAD)
        yield from self._released(1)
        if self._begun and self._clock.end - self._now > self._clock.jitter:
            yield from self._silence(self._clock.end - self._now, torn=False)

    def _from_the_first_sound(self, pieces: Iterable[Piece[Sound]]) -> Iterator[Piece[Sound]]:
        """Leaves out what is lost in front, so that silence of its length will stand for it."""
        lost = Places()
        for piece in pieces:
            if not self._begun:
                begin = self._clock.origin if piece.start is None else piece.start
                if piece.sound is None:
                    self._clock = self._clock._replace(origin=min(begin, self._clock.origin))
                    lost.add(begin, piece.seconds)
                    continue
                self._begun, self._now = True, min(begin, self._clock.origin)
                if lost.count:
                    self.lost.add(0.0, lost.seconds)
            yield piece

    def _released(self, least: int) -> Iterator[Piece[Sound]]:
        """Lets held pieces go, in order, each as soon as its place is clear, or at the latest when
        `least` are held."""
        while self._held:
            piece = self._held[0]
            self._rate = piece.rate
            late, shift = self._late(piece), 0.0
            if not -BACKWARDS <= late <= self._step(piece) and (
                late < 0 or late > self._limit(piece)
            ):
                if len(self._held) < least:
                    return
                shift = self._clock_jump()
            if shift:
                yield from self._silence(shift, piece.torn)
            self._held.popleft()
            self._recent.append(late - shift)
            yield self._out(piece)

    def _late(self, piece: Piece[Sound]) -> float:
        """How late a piece is that comes out next, in seconds; below 0: early."""
        return self._recent[-1] if piece.start is None else piece.start - self._now

    def _step(self, piece: Piece[Sound]) -> float:
        """How late a piece may be in any case, in seconds."""
        tick = self._clock.tick
        if not self.seconds:  # the start: nothing has been rounded twice yet
            return tick if tick * piece.rate > 1 else 0.5 / piece.rate
        if not self._clock.stamped:
            return inf
        return max(1.5 * tick, min(piece.seconds / 2, self._clock.jitter))

    def _limit(self, piece: Piece[Sound]) -> float:
        """How late it may be until that is a gap, by how late those before it were; in seconds."""
        step = self._step(piece)
        return min(max(self._recent) + step, max(DRIFT, step)) if self.seconds else step

    def _clock_jump(self) -> float:
        """How far the container's clock really jumps here: the amount that all held packets agree
        on; 0 if they do not. In seconds, below 0 for backwards."""
        lates, now = [], self._now
        for piece in self._held:
            if piece.start is not None:
                lates.append(piece.start - now)
            now += piece.seconds
        if min(lates) > self._limit(self._held[0]):
            near = lates[0] - min(lates) <= 1.5 * self._clock.tick
            return self._snapped(lates[0] if near else min(lates))
        return max(lates) if max(lates) < -BACKWARDS else 0.0

    def _snapped(self, gap: float) -> float:
        """Stamps are coarse, packets are not: a gap of about some packets is of these."""
        tick, packet = self._clock.tick, self._packet
        if not packet or tick <= 1 / self._held[0].rate:
            return gap
        whole = round(gap / packet) * packet
        return whole if abs(whole - gap) <= 1.5 * tick else gap

    def _silence(self, shift: float, torn: bool) -> Iterator[Piece[Sound]]:
        """Silence for a jump of the clock; none where it was only set anew."""
        self._recent = deque([0.0], LOOKAHEAD)
        self._now += shift
        if shift < 0 or (self.seconds and shift > self._clock.longest and not torn):
            return
        silence = Piece[Sound](None, self._rate, round(shift * self._rate), None)
        if self.seconds:
            places = self.lost if torn else self.filled
            places.add(self.seconds, silence.seconds)
        self.seconds += silence.seconds
        yield silence

    def _out(self, piece: Piece[Sound]) -> Piece[Sound]:
        if piece.sound is None:
            self.lost.add(self.seconds, piece.seconds)
        self._packet = piece.seconds
        self.seconds += self._packet
        self._now += self._packet
        return piece
