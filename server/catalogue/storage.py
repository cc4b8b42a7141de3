"""Objects of any store, by obstore: streamed in bounded memory, multipart, tried again with pauses.

Credentials come by each platform's own ways (environment, instance, workload identity). Knows
nothing of songs.
"""

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError, NotModifiedError
from obstore.store import HTTPStore, LocalStore, from_url

from server.catalogue import locations
from server.catalogue.locations import Place
from server.errors import StemboxError

CHUNK = 8 << 20  # bytes: of a part of an upload, of a block of a download
PARTS = 4  # of one upload at once
LIST = 1000  # names of one request
RESUMES = 5  # of a download that broke off
RETRY: Any = {"max_retries": 8, "retry_timeout": timedelta(minutes=3)}
NOT_THERE = (FileNotFoundError, NotFoundError)
REFUSED = (
    BaseError, PermissionError, *NOT_THERE,
    NotImplementedError,  # the web takes no files
    ValueError,  # a name that none has
)  # fmt: skip


class StorageError(StemboxError):
    """A store refused, or did not answer however often it was asked."""


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
    store, key = _open(location)
    try:
        obstore.put(store, key, file, chunk_size=CHUNK, max_concurrency=PARTS)
    except REFUSED as error:
        raise _told(error) from None


def create(location: str, content: bytes) -> bool:
    """Writes an object that is not there; False, and nothing happens, where it is.

    Raises StorageError.
    """
    store, key = _open(location)
    try:
        obstore.put(store, key, content, mode="create")
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


def check(location: str) -> None:
    """Writes an object below a folder or prefix, and removes it. Raises StorageError."""
    place = locations.join(location, f"check-{os.urandom(8).hex()}")
    create(place, b"")
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


def version_of(meta: Any) -> str:
    """What changes when the object's content does: its entity tag, else time and size."""
    return str(meta["e_tag"] or f"{meta['last_modified'].isoformat()} {meta['size']}")


def _is_tag(version: str) -> bool:
    return version.startswith(('"', "W/"))


def _open(location: str) -> tuple[Any, str]:
    if locations.is_web(location):
        return _store(location), ""  # a key has no query, and would be escaped again
    root, key = locations.split(location)
    return _store(root), key


@lru_cache(maxsize=64)
def _store(root: str) -> Any:
    if not root:
        return LocalStore()
    plain: Any = {"allow_http": True} if locations.scheme_of(root) == "http" else None
    made = HTTPStore.from_url if locations.is_web(root) else from_url
    try:
        return made(root, retry_config=RETRY, client_options=plain)
    except REFUSED as error:
        raise _told(error) from None


def _told(error: Exception) -> StorageError:
    """The error's own first line: what follows it is for programmers, and long."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return StorageError(f"The store says: {lines[0]}")
