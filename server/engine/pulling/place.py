"""Where a pulled model comes to lie: one process at a time puts it there, over no other model."""

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from server.engine.library import pins
from server.engine.library.catalog import whole
from server.engine.library.pins import Pins
from server.errors import ModelError

HUB = "demucs's hub"


@contextmanager
def place(name: str, models: Path, source: str | None) -> Iterator[Pins | None]:
    """Keeps others away from `models/<name>` and from what is fetched for it, and gives the pins
    of what lies there.

    source: as in `Pins`.

    Raises ModelError: another process pulls it, or another model lies there.
    """
    models.mkdir(parents=True, exist_ok=True)
    # The file stays: who opened one that is gone would hold a lock that nobody else sees.
    with (models / f".{name}.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ModelError(f"{name} is being pulled by another process") from None
        before = pins.read(models / name, name)
        if whole(name, models / name) is not None and (before is None or before.source != source):
            where = "put there by hand" if before is None else f"from {before.source or HUB}"
            raise ModelError(f"{name} is here already, {where}: remove {models / name} first")
        yield before


def is_sound(name: str, models: Path) -> bool:
    """Whether a pulled model is whole and its files are what came."""
    found = whole(name, models / name)
    try:
        if found is not None:
            pins.check(found)
    except (ModelError, OSError):
        return False
    return found is not None


def here(name: str, models: Path) -> Path:
    """The folder of a model that need not be fetched, which is told."""
    print(f"{name} is here already", file=sys.stderr)
    return models / name


def move(fresh: Path, target: Path, name: str, pinned: Pins) -> Path:
    """What has come, to where it is loaded from: its pins, and then the files. Until those are
    whole they are not what is pinned, and are not loaded; nor are they taken for somebody's own.
    """
    target.mkdir(parents=True, exist_ok=True)
    part = fresh / "pins"
    part.write_bytes(msgspec.json.format(msgspec.json.encode(pinned)))
    os.replace(part, pins.path_of(target, name))
    for file in pinned.sha256:
        os.replace(fresh / file, target / file)
    shutil.rmtree(fresh, ignore_errors=True)
    return target
