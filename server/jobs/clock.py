"""Whether the machine's clock can be believed: held against one that only ever goes forward.

A clock that is set makes everything look older, or still to come. What is removed by its age then
stays, and what waits for its time moves along.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct

from store import ClockRepository

log = structlog.get_logger()
LEAST_JUMP = 10.0  # seconds; less harms nothing
SLEW = 0.001  # of the time that has passed: clocks that are corrected little by little stay below
SETTLING = 600.0  # seconds after another boot of the machine: its clock may still be set
LONGEST_DOUBT = 7 * 86400.0  # seconds of even going, after which a jump is forgotten
CHECK_SECONDS = 1.0
KEPT_EVERY = 30.0  # seconds between two records


class Reading(Struct, frozen=True):
    """Both clocks at one moment: unix seconds, and seconds since `boot`, sleep included."""

    boot: str
    wall: float
    steady: float


class Record(Struct, frozen=True):
    """What is remembered between two looks at the clocks.

    even_since: steady seconds since which the wall clock has not jumped, below 0 if that was in
        earlier boots; None: no jump is known.
    set_by: steady seconds by which it is likely to be set.
    """

    reading: Reading
    even_since: float | None = None
    set_by: float = 0.0


def machine_boot() -> str:
    """Names this boot of the machine (Linux's boot_id; empty where there is none)."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def read_clocks(boot: str) -> Reading:
    """Both clocks now."""
    return Reading(boot, time.time(), time.clock_gettime(time.CLOCK_BOOTTIME))


def jump_between(before: Reading, after: Reading) -> float:
    """Seconds by which the wall clock has moved more than time has passed; 0.0 for next to none.

    Over a boot of the machine only a clock that went back can be told: how long it was off,
    nobody knows.
    """
    moved = after.wall - before.wall
    passed = after.steady - before.steady if _same_boot(before, after) else max(0.0, moved)
    jump = moved - passed
    return jump if abs(jump) > max(LEAST_JUMP, SLEW * passed) else 0.0


class Clock:
    """The clock of one server. `read` tells both clocks. `run()` looks for jumps all the time."""

    def __init__(
        self, records: ClockRepository, read: Callable[[], Reading] | None = None
    ) -> None:
        boot = machine_boot()
        self._records = records
        self._read = read or (lambda: read_clocks(boot))
        self._record: Record | None = None
        self._kept_at = -KEPT_EVERY
        self._lock = asyncio.Lock()

    async def run(self) -> None:
        """Checks every second, until cancelled."""
        while True:
            try:
                await self.check()
            except Exception:  # the database: its disk may be full for a while
                log.exception("the clock cannot be checked: trying again")
                await asyncio.sleep(KEPT_EVERY)
            await asyncio.sleep(CHECK_SECONDS)

    async def check(self) -> float:
        """The time in unix seconds, once everything that waits goes by it.

        Raises what the database does, before anything has gone by a clock that jumped.
        """
        async with self._lock:
            return await self._check()

    def even_for(self, seconds: float) -> bool:
        """Whether the clock has gone evenly for so long: nothing is older than it looks."""
        if self._record is None:
            return True
        now, since = self._read().steady, self._record.even_since
        return now >= self._record.set_by and (since is None or now - since >= seconds)

    async def _check(self) -> float:
        now = self._read()
        last = self._record or await self._load() or Record(now)
        jump = jump_between(last.reading, now)
        record = _following(last, now, jump)
        if jump:
            # Until what waits has moved, the old reading stays, so that it is tried again.
            self._record = msgspec.structs.replace(record, reading=last.reading)
            log.error("the clock jumped: nothing is removed by its age for a while",
                      seconds=round(jump, 1))
            await self._records.move(_text(record), jump, now.wall)
            self._kept_at = now.steady
        elif last.even_since is not None and record.even_since is None:
            # Not at the jump itself: which of two times was the wrong one, only time can tell.
            await self._records.settle(_text(record), now.wall)
            self._kept_at = now.steady
        self._record = record
        if not 0 <= now.steady - self._kept_at < KEPT_EVERY:
            await self._records.keep(_text(record))
            self._kept_at = now.steady
        return now.wall

    async def _load(self) -> Record | None:
        text = await self._records.load()
        return None if text is None else msgspec.json.decode(text, type=Record)


def _same_boot(before: Reading, after: Reading) -> bool:
    return before.boot == after.boot and before.steady <= after.steady


def _following(last: Record, now: Reading, jump: float) -> Record:
    """What is to be kept after the next reading."""
    even_since, set_by = last.even_since, last.set_by
    if not _same_boot(last.reading, now):
        set_by = now.steady + SETTLING
        if even_since is not None:  # how long it was off, nobody knows; how long it was on counts
            even_since = now.steady - (last.reading.steady - even_since)
    if jump:
        even_since = now.steady
    elif even_since is not None and now.steady - even_since > LONGEST_DOUBT:
        even_since = None
    return Record(now, even_since, set_by)


def _text(record: Record) -> str:
    return msgspec.json.encode(record).decode()
