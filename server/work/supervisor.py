"""Decides which processes are killed because they hang, and when what died is started again.

Takes the clock as an argument; starts nothing and knows no LitServe.
"""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import structlog

from server.work.board import LONGEST_REST, Board

log = structlog.get_logger()
SHORTEST_LIFE = 10.0  # seconds; a process that dies younger is replaced more and more slowly
LONGEST_PAUSE = 30.0  # seconds
# A pool's breaker opens at so many deaths of its workers, each over other work or none, if all fall
# within that time, or no worker lived longer than that.
DEATHS = 3
IN_SECONDS = 60.0
FIRST_PAUSE = 5.0  # seconds that a breaker is open the first time; each time twice as long
LAST_PAUSE = LONGEST_REST
CALM_SECONDS = 600.0  # without an open breaker, until the next pause is a first one again
ASLEEP = 5.0  # between two looks: this process was stopped meanwhile, and perhaps all were


class Process(Protocol):
    """What is asked of a process; `multiprocessing`'s have it."""

    pid: int | None
    exitcode: int | None

    def is_alive(self) -> bool:
        """Whether it runs."""

    def kill(self) -> None:
        """Sends SIGKILL."""


class Supervisor:
    """Watches the processes of a board, which are given to `look` in its order.

    Args:
        start_seconds: how long a process may take to give its first sign.
        stall_seconds: how long the API process may give none afterwards.
    """

    def __init__(
        self, board: Board, now: float, start_seconds: float, stall_seconds: float
    ) -> None:
        self._board = board
        self._start_seconds = start_seconds
        self._stall_seconds = stall_seconds
        self._waited_since = [now] * len(board.seats)
        self._ready_since: dict[int, float] = {}  # of each process, its first sign
        self._killed: set[int] = set()
        self._backoffs = [RestartBackoff() for _ in board.seats]
        self._breakers = {pool: Breaker() for pool in board.pools}
        self._last_look = self._awake_since = now

    def look(self, processes: Sequence[Process], now: float) -> list[int]:
        """Kills what hangs, takes note of deaths; returns the seats that are to be filled now."""
        if now - self._last_look > ASLEEP:
            self._awake_since = now
        self._last_look = now
        due = []
        for seat, process in enumerate(processes):
            if process.is_alive():
                self._check_signs(seat, process, now)
            elif self._is_due(seat, process, now):
                due.append(seat)
        return due

    def started(self, seat: int, now: float) -> None:
        """Another process was started. All workers have to find a new API process."""
        self._backoffs[seat].started(now)
        if seat != self._board.api:
            self._board.set_current_work(seat, ())
        self._ready_since.pop(seat, None)
        for other in range(len(self._board.seats)) if seat == self._board.api else (seat,):
            self._board.forget_sign(other)
            self._waited_since[other] = now

    def _check_signs(self, seat: int, process: Process, now: float) -> None:
        sign = self._board.sign(seat)
        if sign is not None:
            self._ready_since.setdefault(seat, sign)
        if sign is None:
            last, patience, what = self._waited_since[seat], self._start_seconds, "did not start"
        elif seat == self._board.api:
            last, patience, what = sign, self._stall_seconds, "hangs"
        else:
            return  # the API process watches who works
        silent = now - max(last, self._awake_since)
        if silent > patience and process.pid is not None and process.pid not in self._killed:
            self._killed.add(process.pid)
            log.error(f"process {what}: killing it", process=self._board.seats[seat],
                      pid=process.pid, silent_s=round(silent, 1))
            process.kill()

    def _is_due(self, seat: int, process: Process, now: float) -> bool:
        backoff, pool = self._backoffs[seat], self._board.pool_of(seat)
        if backoff.due is None:
            backoff.died(now, pool is not None and self._count(pool, seat, now))
            self._killed.discard(process.pid or 0)
            log.error("process died: starting another", process=self._board.seats[seat],
                      pid=process.pid, exit_code=process.exitcode, after_s=backoff.pause)
        paused = pool is not None and self._breakers[pool].is_open(now)
        return not paused and backoff.due is not None and now >= backoff.due

    def _count(self, pool: str, seat: int, now: float) -> bool:
        """Counts a worker's death; whether it was over work that has killed before."""
        breaker, current_work = self._breakers[pool], self._board.current_work(seat)
        known = breaker.knows(current_work)
        if breaker.died(now, now - self._ready_since.get(seat, now), current_work):
            self._board.open_breaker(pool, breaker.closes)
            log.error("workers keep dying: breaker open", pool=pool, pause_s=breaker.pause)
        return known


class Death(NamedTuple):
    """A worker's. young: whether it lived no longer than IN_SECONDS; over: what it worked on."""

    at: float
    young: bool
    over: frozenset[int]


class Breaker:
    """Opens when a pool's workers keep dying; closes by itself, each time later.

    A file that kills whoever takes it up is no pool's fault. What dies over nothing, or over one
    work after the other, is.
    """

    def __init__(self) -> None:
        self.pause = 0.0
        self.closes = 0.0
        self._deaths: deque[Death] = deque(maxlen=DEATHS)

    def died(self, now: float, lived: float, over: frozenset[int] = frozenset()) -> bool:
        """Counts a death. Returns True if it opened the breaker.

        A death over work that has killed before does not count: that work is to blame. Workers that
        take a minute to load never die three times in one, so short lives count as well.

        Args:
            lived: seconds since the worker was ready, 0 for never.
            over: what it worked on. Where that is several, one of them is to blame.
        """
        if self.is_open(now):
            return False
        for place, earlier in enumerate(self._deaths):
            if common := earlier.over & over:
                self._deaths[place] = earlier._replace(over=common)
                return False
        self._deaths.append(Death(now, lived < IN_SECONDS, over))
        close = now - self._deaths[0].at < IN_SECONDS
        if len(self._deaths) < DEATHS or not (close or all(one.young for one in self._deaths)):
            return False
        self._deaths.clear()
        calm = now - self.closes > CALM_SECONDS
        self.pause = FIRST_PAUSE if calm or not self.pause else min(LAST_PAUSE, 2 * self.pause)
        self.closes = now + self.pause
        return True

    def knows(self, over: frozenset[int]) -> bool:
        """Whether an earlier death was over some of this work."""
        return any(earlier.over & over for earlier in self._deaths)

    def is_open(self, now: float) -> bool:
        """Whether nothing is started now."""
        return now < self.closes


class RestartBackoff:
    """When one process was last started, and when it may be again: slower each time it dies
    young."""

    def __init__(self) -> None:
        self._started = -SHORTEST_LIFE
        self.pause = 0.0
        self.due: float | None = None

    def died(self, now: float, known: bool = False) -> None:
        """Decides when the next may start: `due`. known: of work that has killed before, which
        says nothing of the process."""
        young = now - self._started < SHORTEST_LIFE
        if not known:
            self.pause = min(LONGEST_PAUSE, max(0.5, 2 * self.pause)) if young else 0.0
        self.due = now + (0.0 if known else self.pause)

    def started(self, now: float) -> None:
        """Another was started."""
        self._started = now
        self.due = None
