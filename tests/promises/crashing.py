"""The `stembox` command, whose decoder crashes as one with a fault in its C code does: amid a file
called `crash STAGE SIGNAL …`, by a real null pointer or a real abort.

Worker processes import this module too, as their parent's main.
"""

import ctypes
import inspect
import sys
from typing import Any

from server import cli
from server.audio import decode as decoding
from server.work.steps import Steps

LIBC = ctypes.CDLL(None)
CRASHES = {"segv": lambda: ctypes.string_at(0), "abort": LIBC.abort}


def crash(stage: str, file_name: str) -> None:
    """Does so, where the file's name says it."""
    words = file_name.split()
    if words[:2] == ["crash", stage]:
        CRASHES[words[2]]()


def plant() -> None:
    """Each look crashes when it has begun, each decoding when it has written a block."""
    probe = decoding.probe

    def probed(path: Any, file_name: str) -> Any:
        found = probe(path, file_name)
        crash("probe", file_name)
        return found

    decoding.probe = probed
    for stage in ("measure", "decode"):
        setattr(decoding, stage, midway(stage, getattr(decoding, stage)))


def midway(stage: str, work: Any) -> Any:
    takes = inspect.signature(work)

    def steps(*arguments: Any) -> Steps[Any]:
        inner = work(*arguments)
        yield next(inner)
        crash(stage, takes.bind(*arguments).arguments["file_name"])
        return (yield from inner)

    return steps


plant()

if __name__ == "__main__":
    sys.exit(cli.main())
