"""What a pulled model's files were when they came: their revision, and each file's SHA-256.

They lie beside the files as `<name>.pins.json`; a model that was put there by hand has none.
"""

import hashlib
from pathlib import Path

import msgspec
from msgspec import Struct

from server.engine.library.catalog import ModelFiles
from server.errors import ModelError


class Pins(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A model as it was pulled: the commit of its repository, or the SHA-256 of its weights as they
    came; SHA-256 by file name; its licence, and where it came from, if that was not demucs's hub.
    """

    revision: str
    sha256: dict[str, str]
    licence: str | None = None
    source: str | None = None


def path_of(folder: Path, name: str) -> Path:
    """Where a model's pins lie."""
    return folder / f"{name}.pins.json"


def read(folder: Path, name: str) -> Pins | None:
    """A model's pins, None where it was not pulled. Raises ModelError: they cannot be read."""
    path = path_of(folder, name)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Pins)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise ModelError(f"{path.name} cannot be read: {error}") from None


def check(files: ModelFiles) -> None:
    """Raises ModelError where a pulled model's file is not what came from the hub."""
    pinned = read(files.folder, files.name)
    if pinned is None:
        return
    for path in (files.listing, *files.files):
        if pinned.sha256.get(path.name) != digest(path):
            raise ModelError(f"{path.name} is not what was pulled: "
                             f"`stembox models pull {files.name}` fetches it again")


def digest(path: Path) -> str:
    """A file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
