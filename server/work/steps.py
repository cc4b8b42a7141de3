"""Work in steps of some milliseconds, as generators: whoever runs it may do other things between.

Closed before its end, it leaves nothing behind.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Generic, TypeVar

_T = TypeVar("_T")
Steps = Generator[float, None, _T]
"""Yields the share of the work that is done, 0 to 1, after each step, and returns a `_T`."""


def share(index: int, of: int, steps: Steps[_T]) -> Steps[_T]:
    """One of `of` equal parts of a work, the parts before it done."""
    with closing(steps):
        kept = _Kept(steps)
        for done in kept:
            yield (index + done) / of
        return kept.result


def finish(steps: Steps[_T], report: Callable[[float], None] = lambda done: None) -> _T:
    """Does all of it; `report` is told the share that is done, and gives up by what it raises."""
    with closing(steps):
        kept = _Kept(steps)
        for done in kept:
            report(done)
        return kept.result


class _Kept(Generic[_T]):
    """Steps to loop over, with their result afterwards."""

    result: _T

    def __init__(self, steps: Steps[_T]) -> None:
        self._steps = steps

    def __iter__(self) -> Iterator[float]:
        self.result = yield from self._steps
