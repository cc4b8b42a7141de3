"""A log that cannot be written is nobody else's affair."""

import errno
import io
from pathlib import Path

import pytest

from server.logs import JsonHandler
from server.redaction import Redaction


class Refusing(io.StringIO):
    """Refuses to be written to, at once or when it is flushed."""

    def __init__(self, error: Exception, at_flush: bool) -> None:
        super().__init__()
        self._error, self._at_flush = error, at_flush

    def write(self, text: str) -> int:
        if not self._at_flush:
            raise self._error
        return super().write(text)

    def flush(self) -> None:
        if self._at_flush:
            raise self._error


@pytest.mark.parametrize("at_flush", [False, True])
@pytest.mark.parametrize("error", [
    OSError(errno.ENOSPC, "full"), BrokenPipeError(), ValueError("I/O operation on closed file"),
])  # fmt: skip
def test_a_line_that_cannot_be_written_is_lost(error: Exception, at_flush: bool) -> None:
    handler = JsonHandler(Redaction([Path("/srv/data")]))
    handler.stream = Refusing(error, at_flush)
    handler.write({"event": "lost"})
    handler.stream = io.StringIO()
    handler.write({"event": "at /srv/data"})
    assert handler.stream.getvalue() == '{"event":"at <data>"}\n'
