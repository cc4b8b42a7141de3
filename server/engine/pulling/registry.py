"""Models that can be pulled by name: where they lie, whose they are, what was published of them.

The list is `registry.yaml`, beside this file. Fetches nothing.
"""

from pathlib import Path
from typing import Annotated

import msgspec
import yaml
from msgspec import Meta, Struct

FILE = Path(__file__).with_name("registry.yaml")
Sum = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Address(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a file lies, and what it is; None where nobody here has checked that."""

    url: Annotated[str, Meta(pattern="^https?://")]
    sha256: Sum | None = None
    bytes: Annotated[int, Meta(gt=0)] | None = None


class Entry(Struct, frozen=True, forbid_unknown_fields=True):
    """One model. `sdr`: dB by stem, as its source has published them."""

    family: str
    about: str
    config: Address
    weights: Address
    stems: list[str] | None = None
    licence: str | None = None
    sdr: dict[str, float] | None = None
    sdr_source: str | None = None


def read(file: Path = FILE) -> dict[str, Entry]:
    """The registry, by name. Raises msgspec.ValidationError: it has a mistake."""
    return msgspec.convert(yaml.safe_load(file.read_text(encoding="utf-8")), dict[str, Entry])
