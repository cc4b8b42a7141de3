"""Objects of any store, by obstore: streamed in bounded memory, multipart, tried again with pauses.

Credentials come by each platform's own ways (environment, instance, workload identity). Knows
nothing of songs.
"""

import hashlib
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError, NotModifiedError
from obstore.store import HTTPStore, LocalStore, from_url

from server.catalogue import locations
from server.catalogue.locations import Place
from server.errors import FULL_FOR_ALL, StemboxError

CHUNK = 8 << 20  # bytes: of a part of an upload, of a block of a download
PARTS = 4  # of one upload at once
MARKS = "under-way"  # folder of an output
LONGEST_RUN = 30 * 86400  # seconds
LIST = 1000  # names of one request
RESUMES = 5  # of a download that broke off
# An hour for any length, and no minute without a byte; a part of an upload, during which nothing
# comes back, has as long as a very slow line needs. obstore's own limit is 30 s for all of it.
FETCHING = {"timeout": "1h", "read_timeout": "60s"}
SENDING = {"timeout": "20m"}
# Options that obstore does not look for in the environment once it is given any.
PLATFORMS = {"s3": ("AWS",), "gs": ("GOOGLE",), "az": ("AZURE",), "abfss": ("AZURE",),
             "https": ("AWS", "AZURE")}  # fmt: skip
KEPT = ("allow_http", "allow_invalid_certificates", "connect_timeout", "proxy_ca_certificate",
        "proxy_excludes", "proxy_url", "read_timeout", "timeout")  # fmt: skip
RETRY: Any = {"max_retries": 8, "retry_timeout": timedelta(minutes=3)}
NOT_THERE = (FileNotFoundError, NotFoundError)
OS_ERROR = re.compile(r"(?:\(os error |\[Errno )(\d+)")  # as obstore and Python tell them
NAMED = re.compile(r'"[^"]*"')
REFUSED = (
    BaseError, PermissionError, *NOT_THERE,
    NotImplementedError,  # the web takes no files
    ValueError,  # a name that none has
)  # fmt: skip


class StorageError(StemboxError):
    """A store refused, or did not answer however often it was asked."""


class NoRoom(StorageError):
    """The disk that a location is on is full, or may only be read."""


class NoSuchObject(StorageError):
    """Nothing is at a location."""


class Found(NamedTuple):
    """An object: its location, and what changes when its content does."""

    location: str
    version: str


class Fetched(NamedTuple):
    """A file that came: its SHA-256 in hexadecimal, and the object's version."""

    sha256: str
    version: str


def fetch(location: str, target: Path, unless: str = "") -> Fetched | None:
    """Streams an object into the file `target`; None where its version is still `unless`.

    One that breaks off goes on where it was, if the object is still the same.

    Raises NoSuchObject, StorageError.
    """
    store, key = _open(location)
    digest, done, version = hashlib.sha256(), 0, ""
    options: Any = {"if_none_match": unless} if _is_tag(unless) else {}
    with target.open("wb") as file:
        for left in reversed(range(RESUMES)):
            try:
                answer = obstore.get(store, key, options=options)
                version = version_of(answer.meta)
                if version == unless:
                    return None
                for block in answer.stream(min_chunk_size=CHUNK):
                    file.write(block)
                    digest.update(block)
                    done += len(block)
                return Fetched(digest.hexdigest(), version)
            except NotModifiedError:
                return None
            except NOT_THERE:
                raise NoSuchObject("There is no such file") from None
            except REFUSED as error:
                if not (left and done and _is_tag(version)):
                    raise _told(error) from None
            options = {"if_match": version, "range": {"offset": done}}
            time.sleep(2.0 ** (2 - left))
    raise AssertionError("the last round returns or raises")


def put_file(file: Path, location: str) -> None:
    """Uploads a file, which appears whole. Raises StorageError."""
    store, key = _open(location, sending=True)
    try:
        obstore.put(store, key, file, chunk_size=CHUNK, max_concurrency=PARTS)
        _settle(location)
    except REFUSED as error:
        raise _told(error) from None


def create(location: str, content: bytes) -> bool:
    """Writes an object that is not there; False, and nothing happens, where it is.

    Raises StorageError.
    """
    store, key = _open(location)
    try:
        obstore.put(store, key, content, mode="create")
        _settle(location)
    except AlreadyExistsError:
        return False
    except REFUSED as error:
        raise _told(error) from None
    return True


def read(location: str) -> bytes | None:
    """A small object's content, None where there is none. Raises StorageError."""
    store, key = _open(location)
    try:
        return bytes(obstore.get(store, key).bytes())
    except NOT_THERE:
        return None
    except REFUSED as error:
        raise _told(error) from None


def under(location: str) -> Iterator[Found]:
    """Every object below a folder or prefix. Raises StorageError."""
    root, prefix = locations.split(location)
    prefix = locations.unescaped(location, prefix)
    folder = f"{prefix.rstrip('/')}/" if prefix else None
    try:
        for block in obstore.list(_store(root), folder, chunk_size=LIST):
            for meta in block:
                key = locations.escaped(location, meta["path"])
                yield Found(Place(root, key).location, version_of(meta))
    except REFUSED as error:
        if root or not isinstance(error, NOT_THERE):  # a folder that is not there is empty
            raise _told(error) from None


def look(location: str) -> Found | None:
    """The object at a location, None where there is none that can be read."""
    store, key = _open(location)
    try:
        return Found(location, version_of(obstore.head(store, key)))
    except REFUSED:
        return None


def check(location: str) -> None:
    """Writes an object below a folder or prefix, and removes it. Raises StorageError."""
    place = locations.join(location, f"check-{os.urandom(8).hex()}")
    create(place, b"")
    delete([place])


@contextmanager
def marked(location: str) -> Iterator[str]:
    """Keeps an object below a folder or prefix for as long as the block runs, and yields where it
    is: whoever finds it there has the same one before him.

    Removes what runs that were killed have left, a month later: no other run lasts so long.
    Raises StorageError.
    """
    folder, now = locations.join(location, MARKS), int(time.time())
    delete([found.location for found in under(folder)
            if _begun(locations.name_of(found.location)) < now - LONGEST_RUN])  # fmt: skip
    place = locations.join(folder, f"{now}-{os.urandom(8).hex()}")
    create(place, b"")
    try:
        yield place
    finally:
        delete([place])


def delete(places: Sequence[str]) -> None:
    """Removes objects; those that are gone are no error. Raises StorageError."""
    for place in places:
        store, key = _open(place)
        try:
            obstore.delete(store, key)
        except NOT_THERE:
            pass
        except REFUSED as error:
            raise _told(error) from None


def _begun(mark: str) -> int:
    """When the run of a mark began, in unix seconds; 0 where its name does not tell."""
    began = mark.partition("-")[0]
    return int(began) if began.isdecimal() else 0


def _settle(location: str) -> None:
    """Waits until a file of this machine is on its disk: after a power cut a name may be left that
    has no bytes. Raises StorageError."""
    if locations.scheme_of(location):
        return
    try:
        _sync(location)
    except FileNotFoundError:
        return  # whoever committed first has removed it
    except OSError as error:
        raise _told(error) from None
    with suppress(OSError):  # some file systems have nothing to do for a folder, and say so
        _sync(os.path.dirname(location))


def _sync(path: str) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def version_of(meta: Any) -> str:
    """What changes when the object's content does: its entity tag, else time and size."""
    return str(meta["e_tag"] or f"{meta['last_modified'].isoformat()} {meta['size']}")


def _is_tag(version: str) -> bool:
    return version.startswith(('"', "W/"))


def _open(location: str, sending: bool = False) -> tuple[Any, str]:
    if locations.is_web(location):
        return _store(location, sending), ""  # a key has no query, and would be escaped again
    root, key = locations.split(location)
    return _store(root, sending), key


@lru_cache(maxsize=64)
def _store(root: str, sending: bool = False) -> Any:
    if not root:
        return LocalStore()
    options: Any = (SENDING if sending else FETCHING) | _asked_for(root)
    made = HTTPStore.from_url if locations.is_web(root) else from_url
    try:
        return made(root, retry_config=RETRY, client_options=options)
    except REFUSED as error:
        raise _told(error) from None


def _asked_for(root: str) -> dict[str, str]:
    """What is wanted of a store's connections: by its address, and by the environment."""
    scheme = locations.scheme_of(root)
    if locations.is_web(root):
        return {"allow_http": "true"} if scheme == "http" else {}
    return {name: os.environ[variable] for platform in PLATFORMS[scheme] for name in KEPT
            if (variable := f"{platform}_{name.upper()}") in os.environ}  # fmt: skip


def _told(error: Exception) -> StorageError:
    """The error's own first line: what follows it is for programmers, and long. A name in it may
    have lines, too."""
    said = NAMED.sub(lambda name: locations.shown(name[0]), str(error))
    lines = said.strip().splitlines() or [type(error).__name__]
    found = OS_ERROR.search(lines[0])
    kind = NoRoom if found and int(found[1]) in FULL_FOR_ALL else StorageError
    return kind(f"The store says: {lines[0]}")
