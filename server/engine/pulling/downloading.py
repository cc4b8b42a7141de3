"""Fetches one large file: goes on where an earlier attempt was cut off, and checks what came."""

import http.client
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from io import FileIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from server.engine.library.pins import digest
from server.engine.pulling.registry import Address
from server.errors import ModelError

BLOCK = 1 << 20
SILENCE_S = 60.0
ATTEMPTS = 5  # in a row that bring nothing
PARTIAL, NOTHING_LEFT = 206, 416
NOT_FOUND = (403, 404, 410)  # object stores forbid keys that are not there, where none are listed


class NotThere(ModelError):
    """There is no such file, as far as anybody may know."""


def download(address: Address, target: Path) -> str:
    """Fetches a file to `target`, with a progress bar; returns its SHA-256 in hexadecimal.

    What has come of it stays beside it until it is whole.

    Raises:
        NotThere: the server has no such file.
        ModelError: it cannot be reached, or is not what the address says, or cannot be written.
    """
    if address.sha256 is not None and target.exists() and digest(target) == address.sha256:
        return address.sha256  # whoever fetched it had no time to do more
    host, part = urlsplit(address.url).hostname, target.with_name(f"{target.name}.part")
    _check_room(address, part)
    idle = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            _go_on(address, part)
            break
        except urllib.error.HTTPError as error:
            kind = NotThere if error.code in NOT_FOUND else ModelError
            raise kind(f"{host} answers {error.code} for {target.name}") from None
        except (OSError, http.client.HTTPException) as error:
            came = part.exists() and part.stat().st_size > before
            idle = 0 if came else idle + 1
            if idle >= ATTEMPTS or not part.exists():
                reason = getattr(error, "reason", None) or error
                raise ModelError(f"{host} cannot be reached: {reason}") from None
    found = _checked(address, part)
    part.replace(target)
    _mark_of(part).unlink(missing_ok=True)
    return found


def _check_room(address: Address, part: Path) -> None:
    here = part.stat().st_size if part.exists() else 0
    # Twice: what is converted lies beside what came.
    needed = 2 * (address.bytes or 0) - here
    if (free := shutil.disk_usage(part.parent).free) < needed:
        raise ModelError(f"needs {needed >> 20} MB of disk, and {free >> 20} MB are free")


def _go_on(address: Address, part: Path) -> None:
    """Adds to `part` what it lacks; all of it where that may be of another file than what came
    before. Raises OSError, HTTPException where it is cut off."""
    from tqdm import tqdm

    here, known = _kept(address, part)
    try:
        answer = _asked(address, here, known)
    except urllib.error.HTTPError as error:
        if error.code != NOTHING_LEFT or not here:
            raise
        if address.sha256 is not None or error.headers.get("Content-Range") == f"bytes */{here}":
            return  # where its sum is known, that tells whether it is all of it
        answer = _asked(address, 0, None)
    if answer.status == PARTIAL and not _goes_on(answer.headers, here, known):
        answer.close()
        answer = _asked(address, 0, None)
    with answer, _opened(part) as file:
        if answer.status != PARTIAL:
            with _disk(part):
                file.truncate(here := 0)
                _mark(part, address, _validator(answer.headers))
        length = answer.headers.get("Content-Length")
        total = address.bytes or (None if length is None else here + int(length))
        with tqdm(
            desc=part.stem, total=total, initial=here, unit="B", unit_scale=True, leave=False
        ) as bar:
            left = None if length is None else int(length)
            while block := answer.read(BLOCK):
                with _disk(part):
                    _write(file, block)
                bar.update(len(block))
                left = None if left is None else left - len(block)
        if left:
            raise http.client.IncompleteRead(b"", left)


@contextmanager
def _disk(part: Path) -> Iterator[None]:
    """What goes wrong on the disk is not taken for the network's: no other attempt mends it."""
    try:
        yield
    except OSError as error:
        raise ModelError(f"{part} cannot be written: {error.strerror or error}") from None


def _opened(part: Path) -> FileIO:
    """Without a buffer, of which closing it might have to write what is left."""
    with _disk(part):
        return part.open("ab", buffering=0)


def _write(file: FileIO, block: bytes) -> None:
    left = memoryview(block)
    while left:
        left = left[file.write(left) :]


def _asked(address: Address, here: int, known: str | None) -> Any:
    """The answer, open: from `here` on, if the server still has the file that is known."""
    headers = {"User-Agent": "stembox", "Accept-Encoding": "identity"}
    if here:
        headers["Range"] = f"bytes={here}-"
        headers |= {} if known is None else {"If-Range": known}
    request = urllib.request.Request(address.url, headers=headers)
    return urllib.request.urlopen(request, timeout=SILENCE_S)


def _goes_on(headers: Message, here: int, known: str | None) -> bool:
    """Whether a part of a file is what is lacking of ours: not every server heeds `If-Range`."""
    same = known is None or _validator(headers) in (None, known)
    return same and headers.get("Content-Range", "").startswith(f"bytes {here}-")


def _validator(headers: Message) -> str | None:
    """What tells a file from others at its address (RFC 9110, 13.1.5): no weak tag does."""
    tag = headers.get("ETag", "W/")
    found = headers.get("Last-Modified", "") if tag.startswith("W/") else tag
    return found if found and found.isascii() and found.isprintable() else None


def _mark_of(part: Path) -> Path:
    """Where it is written which file a part is of: its place, and there its validator."""
    return part.with_name(f"{part.name}.mark")


def _mark(part: Path, address: Address, validator: str | None) -> None:
    if validator is None:
        _mark_of(part).unlink(missing_ok=True)
    else:
        _mark_of(part).write_text(f"{_place(address)}\n{validator}", encoding="utf-8")


def _marked(part: Path, address: Address) -> str | None:
    """The validator of what a part is of, where that came from here: mirrors may agree on one for
    other bytes."""
    try:
        place, _, validator = _mark_of(part).read_text(encoding="utf-8").partition("\n")
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return validator if validator and place == _place(address) else None


def _place(address: Address) -> str:
    """An address without its query, which holds what signs it and changes with every link."""
    return urlsplit(address.url)._replace(query="", fragment="").geturl()


def _kept(address: Address, part: Path) -> tuple[int, str | None]:
    """How many bytes are here to go on from, and the validator of their file. None are where
    nothing would tell whether it is still the same file."""
    known = _marked(part, address)
    if not part.exists() or (known is None and address.sha256 is None):
        return 0, None
    return part.stat().st_size, known


def _checked(address: Address, part: Path) -> str:
    size, found = part.stat().st_size, digest(part)
    if address.sha256 not in (None, found) or address.bytes not in (None, size):
        part.unlink()
        _mark_of(part).unlink(missing_ok=True)
        raise ModelError(
            f"{part.stem} is not what was published: {size} bytes with the SHA-256 "
            f"{found}; nothing was kept of it"
        )
    return found
