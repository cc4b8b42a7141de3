"""When a delivery that failed is tried again. Pure: the clock and the chance are arguments."""

from types import MappingProxyType

MINUTE, HOUR = 60.0, 3600.0
DELAYS = (5.0, 30.0, 2 * MINUTE, 10 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR)
JITTER = 0.1  # of the delay, to either side: endpoints that came back are not run over
MAX_FAILURES = 20  # in a row disable a webhook
GONE = 410  # the endpoint wants no more: disabled at once
SUCCESS = range(200, 300)
LONGEST_AIM = 8192  # characters: of a URL that may be called
REASONS = MappingProxyType({GONE: "the endpoint is gone (HTTP 410)"})


def next_attempt(failed: int, now: float, chance: float) -> float | None:
    """When to try again after `failed` failures of a delivery; None: no more.

    chance: uniformly from 0 to 1.
    """
    if failed > len(DELAYS):
        return None
    return now + DELAYS[failed - 1] * (1 + JITTER * (2 * chance - 1))


def why(status: int, redirect: str | None = None) -> str:
    """What an unsuccessful HTTP status is called in `lastError`. `redirect`: where it leads."""
    if redirect is not None:
        aim = "".join(filter(str.isprintable, redirect))[:LONGEST_AIM]
        return f"HTTP {status}, a redirect to {aim}: register that address, if it is yours"
    return REASONS.get(status, f"HTTP {status}")
