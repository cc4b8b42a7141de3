"""What a file of weights says of itself at its ends, without being loaded."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from server.engine.library.configuration import MALFORMED

LENGTH_BYTES = 8  # of a `.safetensors` header, before it
MOST_HEADER_BYTES = 1 << 24
ARCHIVE_END = b"PK\x05\x06"  # what the last record of a zip archive begins with
MOST_ARCHIVE_END = 22 + 0xFFFF  # bytes of that record


def metadata_of(path: Path) -> dict[str, str]:
    """What a `.safetensors` file says of its network. Raises ValueError, OSError, KeyError."""
    found: dict[str, str] = _header(path)[0]["__metadata__"]
    return found


def damage_of(path: Path) -> str | None:
    """Why a file cannot be whole, as far as its ends tell; None if nothing does. Raises OSError."""
    stat = path.stat()
    return _seen(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(1024)
def _seen(path: Path, _: int, size: int) -> str | None:
    """As `damage_of`; models are looked for all the time."""
    if path.suffix == ".safetensors":
        try:
            wanted = _whole_size(path)
        except OSError:
            raise
        except MALFORMED:  # of what it is then, loading it tells more
            return None
        return f"{path.name} is cut off: {size:,} of {wanted:,} bytes" if size < wanted else None
    with path.open("rb") as file:
        zipped = file.read(2) == b"PK"
        file.seek(max(0, size - MOST_ARCHIVE_END))
        # Without its end an archive says nothing of what it holds.
        return f"{path.name} is cut off" if zipped and ARCHIVE_END not in file.read() else None


def _whole_size(path: Path) -> int:
    """Bytes of a `.safetensors` file, by its header. Raises one of MALFORMED."""
    header, length = _header(path)
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    return LENGTH_BYTES + length + max(ends, default=0)


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """A `.safetensors` file's header, and its bytes. Raises ValueError, OSError."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        if length > MOST_HEADER_BYTES:
            raise ValueError("no safetensors file")
        return msgspec.json.decode(file.read(length), type=dict[str, Any]), length
