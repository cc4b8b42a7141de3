"""The file that a backup is: a tar of plain files, with a manifest of their hashes at its end.

Without its manifest an archive is a part of one: whatever cut it off is noticed.
"""

import hashlib
import io
import os
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, BinaryIO, Final, NamedTuple, cast

import msgspec
from msgspec import Struct

from server.errors import StemboxError

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
CHUNK: Final = 1 << 20  # bytes
LONGEST_MANIFEST: Final = 1 << 30  # bytes
NAME: Final = re.compile(r"[^/\0]+(/[^/\0]+)*").fullmatch

Progress = Callable[[int], None]
"""Is told how many bytes more are done."""


class Stored(NamedTuple):
    """What a member held: bytes, and their SHA-256 in hex."""

    size: int
    sha256: str


class Manifest(Struct, frozen=True):
    """What an archive is, and all that it holds. `outputs`: files of jobs are among it."""

    format: int
    stembox: str
    created_at: float
    outputs: bool
    files: dict[str, Stored]


class _Hashed:
    """A file that is hashed while it is read."""

    def __init__(self, file: IO[bytes], progress: Progress) -> None:
        self._file, self._progress, self.sha256 = file, progress, hashlib.sha256()

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self.sha256.update(data)
        self._progress(len(data))
        return data


class ArchiveWriter:
    """Writes an archive into an open file."""

    def __init__(self, file: BinaryIO, progress: Progress) -> None:
        self._tar = tarfile.open(fileobj=file, mode="w")  # noqa: SIM115
        self._progress = progress
        self._files: dict[str, Stored] = {}

    def add(self, name: str, path: Path) -> None:
        """Adds a file. Raises OSError: it is not there, or became shorter."""
        with open(path, "rb") as file:
            info = _info(name, os.fstat(file.fileno()).st_size)
            hashed = _Hashed(file, self._progress)
            self._tar.addfile(info, cast(IO[bytes], hashed))  # all that it calls is read
        self._files[name] = Stored(info.size, hashed.sha256.hexdigest())

    def close(self, stembox: str, created_at: float, outputs: bool) -> Manifest:
        """Writes the manifest: from now on the archive is whole."""
        manifest = Manifest(FORMAT, stembox, created_at, outputs, self._files)
        text = msgspec.json.encode(manifest)
        self._tar.addfile(_info(MANIFEST, len(text)), io.BytesIO(text))
        self._tar.close()
        return manifest


def unpack(file: BinaryIO, folder: Path, allowed: Callable[[str], bool],
           progress: Progress) -> Manifest:  # fmt: skip
    """Writes an archive's files below `folder`, synced and readable for this user alone.

    Raises:
        StemboxError: it is no archive, cut off, changed, or of a newer stembox.
    """
    found: dict[str, Stored] = {}
    text: bytes | None = None
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for info in tar:
                member = tar.extractfile(info) if info.isreg() else None
                if member is None or text is not None:
                    raise StemboxError(f"the backup holds what no backup holds: {info.name!r}")
                if info.name == MANIFEST and info.size <= LONGEST_MANIFEST:
                    text = member.read()
                    continue
                if not NAME(info.name) or ".." in info.name.split("/") or not allowed(info.name):
                    raise StemboxError(f"the backup holds what no backup holds: {info.name!r}")
                found[info.name] = _write(member, folder / info.name, progress)
    except (tarfile.TarError, EOFError) as error:
        raise StemboxError(f"this is no whole backup: {error}") from None
    if text is None:
        raise StemboxError("the backup is cut off: its end is missing")
    return _checked(text, found)


def _checked(text: bytes, found: dict[str, Stored]) -> Manifest:
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except msgspec.DecodeError:
        raise StemboxError("the backup is damaged: its manifest cannot be read") from None
    if manifest.format > FORMAT:
        raise StemboxError(f"the backup is of a newer stembox ({manifest.stembox})")
    for name in sorted(manifest.files.keys() | found.keys()):
        if manifest.files.get(name) != found.get(name):
            raise StemboxError(f"the backup is damaged: {name} is not what was stored")
    return manifest


def _write(member: IO[bytes], path: Path, progress: Progress) -> Stored:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    hashed = _Hashed(member, progress)
    size = 0
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        while data := hashed.read(CHUNK):
            size += file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return Stored(size, hashed.sha256.hexdigest())


def _info(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    return info
