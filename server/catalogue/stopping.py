"""How a run is told to stop, and never misses it."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

KINDS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stoppable() -> Iterator[Callable[[], None]]:
    """SIGINT and SIGTERM raise KeyboardInterrupt wherever this thread, the main one, is.

    Yields a check to be called now and then, which raises it again: Python ignores what is raised
    while an object goes away, and a run would go on to its end.
    """
    asked: list[int] = []

    def ask(number: int, _: object) -> None:
        asked.append(number)
        raise KeyboardInterrupt

    def check() -> None:
        if asked:
            raise KeyboardInterrupt

    before = {kind: signal.signal(kind, ask) for kind in KINDS}
    try:
        yield check
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
