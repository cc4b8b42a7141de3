"""What sentences for people are made of."""

import pytest

from server.errors import in_seconds


@pytest.mark.parametrize(("number", "words"), [
    (1, "1 second"), (1.0, "1 second"), (0, "0 seconds"), (2, "2 seconds"), (0.5, "0.5 seconds"),
    (600_000_000, "600000000 seconds"),
])  # fmt: skip
def test_lengths_of_time_in_sentences(number: float, words: str) -> None:
    assert in_seconds(number) == words
