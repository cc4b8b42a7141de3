"""The song that is offered to who has none at hand: composed by the project, and shipped with it.

`make_demo` makes the file. Nothing is decoded or composed here, so that any process may ask.
"""

import os
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).with_name("demo.opus")
NAME: Final = "Demo song.opus"


def size() -> int:
    """The file's bytes."""
    return FILE.stat().st_size


def copy_to(target: Path) -> int:
    """Writes the file's bytes to `target`, synced; their number. Raises OSError."""
    data = FILE.read_bytes()
    with target.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return len(data)
