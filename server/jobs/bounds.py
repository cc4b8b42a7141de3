"""How much one account may have under way of what costs it nothing, or waits for others."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, NamedTuple

from server.errors import TooManyAtOnce
from server.jobs.orders import Order
from store import JobRepository

MOST_FETCHING: Final = 20  # jobs of one account whose sources come, or wait to be measured
MOST_TESTS: Final = 5  # unfinished test jobs of one account: they cost it nothing


class _Bound(NamedTuple):
    most: int
    under_way: Callable[[str], Awaitable[int]]  # of an account's jobs in the database
    sentence: str


class Bounds:
    """Counts what is in the database and what is on its way there: many may come at once."""

    def __init__(self, jobs: JobRepository) -> None:
        self._jobs = jobs
        self._coming: Counter[tuple[str, str]] = Counter()

    @asynccontextmanager
    async def within(self, order: Order) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Holds the order's place until its job is in the database, or is none. Yields what is to
        be called where an upload turns out to be measured later: that takes a place, too.

        Both raise TooManyAtOnce.
        """
        async with AsyncExitStack() as places:
            for bound in self._of(order):
                await self._take(places, bound, order.account_id)

            async def later() -> None:
                if order.source_url is None:
                    await self._take(places, self._later, order.account_id)

            yield later

    async def _take(self, places: AsyncExitStack, bound: _Bound, account_id: str) -> None:
        key = (bound.sentence, account_id)
        before = self._coming[key]
        there = await bound.under_way(account_id)
        # Who has come into the database since may be in neither number.
        if there + max(before, self._coming[key]) >= bound.most:
            raise TooManyAtOnce(bound.sentence)
        self._coming[key] += 1
        places.callback(self._leave, key)

    @property
    def _later(self) -> _Bound:
        return _Bound(MOST_FETCHING, self._jobs.count_fetching,
                      "Too many of your sources are still being fetched or measured")  # fmt: skip

    def _of(self, order: Order) -> Iterator[_Bound]:
        if order.test:
            yield _Bound(MOST_TESTS, self._jobs.count_tests,
                         "Too many of your test jobs are under way")  # fmt: skip
        if order.source_url is not None:
            yield self._later

    def _leave(self, key: tuple[str, str]) -> None:
        self._coming[key] -= 1
        if not self._coming[key]:
            del self._coming[key]
