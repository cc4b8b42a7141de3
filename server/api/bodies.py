"""What the bodies of both APIs share: how JSON is written, and the plain error."""

from typing import Final

import msgspec
from msgspec import Struct

API_VERSION: Final = "1.0.0"
ENCODER: Final = msgspec.json.Encoder()


class ErrorAnswer(Struct, frozen=True):
    """Every error."""

    detail: str
