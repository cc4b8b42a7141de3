"""The faster places that a data directory has used: what lies in those of former settings goes.

A file of the data directory remembers them, each with the path that the data directory had then,
from which its folder there has its name.
"""

import json
import os
import shutil
import stat
from pathlib import Path

import structlog
from msgspec import Struct

from server.jobs.disk.folders import Folders, private_name, write_anew

log = structlog.get_logger()
FILE = "scratch-places.json"


class Known(Struct, frozen=True):
    """used: the folder that a server was started with last, or "". places: all folders that may
    still be there, by the data directory's path."""

    used: str
    places: dict[str, str]


def change_place(folders: Folders) -> None:
    """Remembers the faster place of this start, and removes what lies in former ones.

    For who holds the lock. A place that cannot be reached is tried again at the next start; so is
    one that is empty, since what is mounted there may be missing.
    """
    data_dir, known = folders.data_dir, _read(folders.data_dir)
    used = "" if folders.private is None else str(folders.private)
    places = known.places | ({used: str(data_dir)} if used else {})
    # Before anything lies there, and again when something is gone; most starts change nothing.
    if known != Known(used, places):
        _write(data_dir, Known(used, places))
    left = {place: of for place, of in places.items()
            if place == used or not _removed(Path(place), of, data_dir)}  # fmt: skip
    if left != places:
        _write(data_dir, Known(used, left))


def left_behind(data_dir: Path) -> list[Path]:
    """Folders of former settings that are still there."""
    known = _read(data_dir)
    return [Path(place) for place, of in known.places.items()
            if place != known.used and os.path.lexists(place)
            and _is_own(Path(place), of, data_dir)]  # fmt: skip


def _removed(place: Path, of: str, data_dir: Path) -> bool:
    try:
        os.stat(place.parent)
        if not (os.path.lexists(place) and _is_own(place, of, data_dir)):
            return False
        found = os.lstat(place)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise PermissionError(0, "it belongs to someone else")
        shutil.rmtree(place)
    except OSError as error:
        log.warning("a former scratch_dir cannot be swept: the next start tries again",
                    folder=str(place), reason=error.strerror)  # fmt: skip
        return False
    log.info("what a former scratch_dir held is removed", folder=str(place))
    return True


def _is_own(place: Path, of: str, data_dir: Path) -> bool:
    """Whether a folder is this data directory's: under its path, or one that it was moved from. A
    copy's original may be served from, with files in that very place."""
    if place.name != private_name(Path(of)):
        return False
    try:
        return os.path.samefile(of, data_dir)
    except FileNotFoundError:
        return True


def _read(data_dir: Path) -> Known:
    try:
        found = json.loads((data_dir / FILE).read_bytes())
        return Known(str(found["used"]), dict(found["places"]))
    except FileNotFoundError:
        return Known("", {})
    except (ValueError, KeyError, TypeError):
        log.warning("former scratch_dirs are forgotten: a file is damaged", file=FILE)
        return Known("", {})


def _write(data_dir: Path, known: Known) -> None:
    # Names of folders need not be UTF-8, which this alone writes.
    text = json.dumps({"used": known.used, "places": known.places})
    write_anew(data_dir / FILE, text.encode())
