"""What lies below a folder of this machine, or a prefix of a store.

A store lists by itself, and so would obstore for this machine's files; but there one name that it
cannot take, of whatever file, is an error for all of them. So folders are walked here, and what
cannot be read is left out.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

import structlog

from server.catalogue import locations, storage
from server.catalogue.storage import Found, StorageError

log = structlog.get_logger()
SHOWN: Final = 5  # of the names that are left out


def below(location: str, but: str, wanted: Callable[[str], bool]) -> list[Found]:
    """Every file below a folder or prefix whose name is `wanted`, in order, without those that lie
    below `but`.

    Links are followed, to no folder twice. A warning tells what cannot be read.

    Raises StorageError: the store does not list it.
    """
    if not locations.scheme_of(location):
        return _walked(location, but, wanted)
    try:
        return sorted(found for found in storage.under(location)
                      if wanted(locations.name_of(found.location))
                      and not (but and locations.is_below(found.location, but)))  # fmt: skip
    except StorageError as error:
        hint = "a manifest that names the songs needs no list of them"
        raise StorageError(f"{error.message}; {hint}") from None


def _walked(top: str, but: str, wanted: Callable[[str], bool]) -> list[Found]:
    found: list[Found] = []
    left_out: list[str] = []
    for path in _files(top, but, left_out.append):
        if not wanted(os.path.basename(path)):
            continue
        if os.path.isfile(path) and (file := storage.look(path)) is not None:
            found.append(file)
        else:
            left_out.append(path)
    if left_out:
        some = [locations.shown(path) for path in left_out[:SHOWN]]
        log.warning("left out: files whose names no store takes, and what cannot be read",
                    count=len(left_out), some=some)  # fmt: skip
    return sorted(found)


def _files(top: str, but: str, unreadable: Callable[[str], None]) -> Iterator[str]:
    """The paths of all files: the folder's own first, then those that links in it lead to."""
    seen = {_identity(but)}
    tops = deque([top] if os.path.isdir(top) else [])
    while tops:
        for folder, names, files in os.walk(
            tops.popleft(), onerror=lambda error: unreadable(error.filename)
        ):
            if (identity := _identity(folder)) in seen:
                names.clear()
                continue
            seen.add(identity)
            names.sort()
            paths = (os.path.join(folder, name) for name in names)
            tops.extend(path for path in paths if os.path.islink(path))
            yield from (os.path.join(folder, name) for name in files)


def _identity(folder: str) -> tuple[int, int] | None:
    """What all names of one folder have in common, None where it is not there."""
    try:
        found = os.stat(folder)
    except OSError:
        return None
    return found.st_dev, found.st_ino
