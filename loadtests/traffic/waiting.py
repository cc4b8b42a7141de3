"""How a partner waits for a job: polls, with pauses that grow, and heeds Retry-After."""

import random
from collections.abc import Iterator
from typing import Final

FIRST_S: Final = 0.5
FACTOR: Final = 1.5
LONGEST_S: Final = 5.0


def pauses(chance: random.Random) -> Iterator[float]:
    """Seconds before each further poll, with a fifth of jitter."""
    pause = FIRST_S
    while True:
        yield pause * chance.uniform(0.8, 1.2)
        pause = min(LONGEST_S, pause * FACTOR)


def retry_after(headers: object, otherwise: float) -> float:
    """Seconds that an answer asks to wait for; `otherwise` where it asks for nothing."""
    value = getattr(headers, "get", lambda _: None)("Retry-After") or ""
    return float(value) if str(value).isdigit() else otherwise
