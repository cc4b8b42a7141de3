"""How a job's end is told apart for who counts: by whose fault it was. Pure."""

from typing import Final

CANCELLED: Final = "The job was cancelled"
GIVEN_UP: Final = "was given up"  # how a sentence ends that tells of the server's own failure
UNREADABLE: Final = "The source could not be read"  # by defects of ours, as often as it was tried
OUTCOMES: Final = ("completed", "failed", "refused", "cancelled", "expired")


def given_up_after(attempts: int) -> str:
    """The sentence for a job that has failed so often, by the server's fault."""
    times = "once" if attempts == 1 else f"{attempts} times"
    return f"Processing failed {times} and {GIVEN_UP}"


def outcome_of(state: str, error: str) -> str:
    """One of OUTCOMES. state: as stored, not `processing`; error: the sentence for the user.

    `failed` is the server's fault; `refused` the song's, its source's or the account's.
    """
    if state != "failed":
        return state
    if error == CANCELLED:
        return "cancelled"
    return "failed" if error.endswith(GIVEN_UP) or error == UNREADABLE else "refused"
