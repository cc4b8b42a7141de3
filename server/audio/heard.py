"""What is kept of a decoded file, and told with its job. Loads no decoder."""

from msgspec import Struct


class Heard(Struct, frozen=True):
    """What was decoded of a file.

    `codec` and `track` are in words: None where the format says it all, or there is one track
    only. `warnings`: a sentence for each thing that the file lacks.
    """

    format: str
    codec: str | None
    track: str | None
    warnings: list[str]
