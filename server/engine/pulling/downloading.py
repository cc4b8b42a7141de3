"""Fetches one large file: goes on where an earlier attempt was cut off, and checks what came."""

import hashlib
import http.client
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from server.engine.pulling.registry import Address
from server.errors import ModelError

BLOCK = 1 << 20
SILENCE_S = 60.0
ATTEMPTS = 5  # in a row that bring nothing
PARTIAL, NOTHING_LEFT = 206, 416


def download(address: Address, target: Path) -> str:
    """Fetches a file to `target`, with a progress bar; returns its SHA-256 in hexadecimal.

    What has come of it stays beside it until it is whole.

    Raises:
        ModelError: it cannot be reached, is not there, or is not what the address says.
    """
    host, part = urlsplit(address.url).hostname, target.with_name(f"{target.name}.part")
    _check_room(address, part)
    idle = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            _go_on(address, part)
            break
        except urllib.error.HTTPError as error:
            raise ModelError(f"{host} answers {error.code} for {target.name}") from None
        except (OSError, http.client.HTTPException) as error:
            came = part.exists() and part.stat().st_size > before
            idle = 0 if came else idle + 1
            if idle >= ATTEMPTS or not part.exists():
                reason = getattr(error, "reason", None) or error
                raise ModelError(f"{host} cannot be reached: {reason}") from None
    found = _checked(address, part)
    part.replace(target)
    return found


def _check_room(address: Address, part: Path) -> None:
    here = part.stat().st_size if part.exists() else 0
    # Twice: what is converted lies beside what came.
    needed = 2 * (address.bytes or 0) - here
    if (free := shutil.disk_usage(part.parent).free) < needed:
        raise ModelError(f"needs {needed >> 20} MB of disk, and {free >> 20} MB are free")


def _go_on(address: Address, part: Path) -> None:
    """Adds to `part` what it lacks. Raises OSError, HTTPException where it is cut off."""
    from tqdm import tqdm

    here = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "stembox", "Accept-Encoding": "identity"}
    if here:
        headers["Range"] = f"bytes={here}-"
    request = urllib.request.Request(address.url, headers=headers)
    try:
        answer: Any = urllib.request.urlopen(request, timeout=SILENCE_S)
    except urllib.error.HTTPError as error:
        if error.code == NOTHING_LEFT and here:
            return  # whether it is all of it, its sum tells
        raise
    with answer, part.open("ab") as file:
        if here and answer.status != PARTIAL:
            file.truncate(here := 0)
        length = answer.headers.get("Content-Length")
        total = address.bytes or (None if length is None else here + int(length))
        with tqdm(desc=part.stem, total=total, initial=here, unit="B", unit_scale=True,
                  leave=False) as bar:
            left = None if length is None else int(length)
            while block := answer.read(BLOCK):
                file.write(block)
                bar.update(len(block))
                left = None if left is None else left - len(block)
        if left:
            raise http.client.IncompleteRead(b"", left)


def _checked(address: Address, part: Path) -> str:
    size = part.stat().st_size
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if address.sha256 not in (None, found) or address.bytes not in (None, size):
        part.unlink()
        raise ModelError(f"{part.stem} is not what was published: {size} bytes with the SHA-256 "
                         f"{found}; nothing was kept of it")
    return found
