"""Owns where training material lies: files of Debian packages, installed or unpacked in a folder.

Knows package names and paths; nothing of what the files hold.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

# names a folder with what `dpkg -x` unpacked, one folder a package or all in one
VARIABLE = "STEMBOX_MATERIAL"
SYSTEM = Path("/")


def find(package: str, inside: str) -> Path | None:
    """Where the file or folder `inside` (a path without the first slash) of a package lies."""
    given = os.environ.get(VARIABLE)
    roots = [Path(given) / package, Path(given), SYSTEM] if given else [SYSTEM]
    return next((root / inside for root in roots if (root / inside).exists()), None)


def require(package: str, inside: str) -> Path:
    """`find`, or FileNotFoundError that says what to install."""
    path = find(package, inside)
    if path is None:
        raise FileNotFoundError(advice([package]))
    return path


def advice(packages: Iterable[str]) -> str:
    """What to do about missing packages."""
    names = " ".join(dict.fromkeys(packages))
    return f"packages are missing: apt-get install {names}, or unpack them below ${VARIABLE}"
