"""Names that outlive a power cut: a file's own sync does not cover its entry in a folder."""

import os
from contextlib import suppress
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Makes what was renamed or made within a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_names(path: Path) -> None:
    """Makes a file's name durable, and that of its folder: whoever made that may have died before
    it could do so, and who finds it cannot tell."""
    sync_folder(path.parent)
    with suppress(PermissionError):  # a folder that we may enter and not list is not ours to sync
        sync_folder(path.parent.parent)
