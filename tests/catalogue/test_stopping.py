"""A run that is told to stop does, also where Python ignores the first word of it."""

import os
import signal

import pytest

from server.catalogue.stopping import stoppable


class Removed:
    """Is told to stop while it goes away, as one of a library's objects may be."""

    def __init__(self, kind: int) -> None:
        self._kind = kind

    def __del__(self) -> None:
        os.kill(os.getpid(), self._kind)
        for _ in range(1000):  # the handler runs between two of Python's instructions
            pass


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_was_ignored_is_said_again(kind: int) -> None:
    before = signal.getsignal(kind)
    with stoppable() as check:
        check()
        removed = Removed(kind)
        del removed  # its KeyboardInterrupt is lost here
        with pytest.raises(KeyboardInterrupt):
            check()
    assert signal.getsignal(kind) is before


def stopped_at_once() -> None:
    with stoppable():
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()


def test_what_is_heard_is_raised_at_once() -> None:
    with pytest.raises(KeyboardInterrupt):
        stopped_at_once()
