"""The range arithmetic against a slow, obvious twin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from server.api.answers import RangeNotSatisfiable
from server.api.files import ranges

DATE = "Mon, 15 Jan 2024 10:30:45 GMT"


def select(size: int = 1000, **headers: str) -> range | None:
    given = Headers({name.replace("_", "-"): value for name, value in headers.items()})
    return ranges.select(given, size, '"tag"', DATE)


@given(first=st.integers(0, 40), last=st.integers(0, 40), size=st.integers(0, 30))
def test_first_and_last_against_a_list(first: int, last: int, size: int) -> None:
    positions = [i for i in range(size) if first <= i <= last]
    if last < first:
        assert select(size, range=f"bytes={first}-{last}") is None
    elif not positions:
        with pytest.raises(RangeNotSatisfiable):
            select(size, range=f"bytes={first}-{last}")
    else:
        assert list(select(size, range=f"bytes={first}-{last}") or ()) == positions


@given(suffix=st.integers(0, 40), size=st.integers(0, 30))
def test_suffixes_against_a_list(suffix: int, size: int) -> None:
    positions = list(range(size))[-suffix:] if suffix else []
    if not positions:
        with pytest.raises(RangeNotSatisfiable):
            select(size, range=f"bytes=-{suffix}")
    else:
        assert list(select(size, range=f"bytes=-{suffix}") or ()) == positions


def test_an_open_end() -> None:
    assert select(range="bytes=0-") == range(0, 1000)
    assert select(range="BYTES=999-") == range(999, 1000)
    with pytest.raises(RangeNotSatisfiable):
        select(range="bytes=1000-")


@pytest.mark.parametrize(
    "header",
    [
        "", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=1", "bytes=5-4", "bytes=--5",
        "bytes=1-2,4-5", "items=1-2", "bytes=+1-2", "bytes=²-", "bytes=" + "9" * 5000 + "-",
    ],
)  # fmt: skip
def test_what_is_malformed_or_several_is_ignored(header: str) -> None:
    assert select(range=header) is None


def test_if_range() -> None:
    assert select(range="bytes=1-2", if_range='"tag"') == range(1, 3)
    assert select(range="bytes=1-2", if_range=DATE) == range(1, 3)
    assert select(range="bytes=1-2", if_range='W/"tag"') is None
    assert select(range="bytes=9999-", if_range='"older"') is None


@pytest.mark.parametrize(
    ("header", "same"),
    [
        ('"tag"', True),
        ('W/"tag"', True),
        ('"other", "tag"', True),
        ("*", True),
        ('"other"', False),
        ("", False),
    ],
)
def test_if_none_match(header: str, same: bool) -> None:
    assert ranges.unchanged(Headers({"if-none-match": header}), '"tag"', DATE) is same


@pytest.mark.parametrize(("since", "same"), [
    (DATE, True), ("Mon, 15 Jan 2024 10:30:46 GMT", True), ("Tue, 14 Jan 2025 10:30:45 GMT", True),
    ("Mon, 15 Jan 2024 10:30:44 GMT", False), ("", False), ("yesterday", False),
    ("Mon, 99 Jan 2024 10:30:44 GMT", False), ("Mon, 15 Jan 2099 10:30:45", False),
    ("Mon, 99999999999999999999 Jan 2099 10:30:45 GMT", False),
    ("Mon, 15 Jan 2099 10:30:45 +99999999999999", False),
])  # fmt: skip
def test_a_copy_by_its_date(since: str, same: bool) -> None:
    assert ranges.unchanged(Headers({"if-modified-since": since}), '"tag"', DATE) is same
    both = Headers({"if-modified-since": since, "if-none-match": '"other"'})
    assert not ranges.unchanged(both, '"tag"', DATE), "the tag says more"


@pytest.mark.parametrize(("header", "another"), [
    ('"tag"', False), ('"other", "tag"', False), ("*", False), ('"other"', True), ("", True),
    ('W/"tag"', True),  # a weak tag promises too little to go on with a file
])  # fmt: skip
def test_if_match(header: str, another: bool) -> None:
    assert ranges.changed(Headers({"if-match": header}), '"tag"', DATE) is another


@pytest.mark.parametrize(("since", "another"), [
    (DATE, False), ("Tue, 14 Jan 2025 10:30:45 GMT", False),
    ("Mon, 15 Jan 2024 10:30:44 GMT", True), ("", False), ("yesterday", False),
    ("Mon, 15 Jan 2000 10:30:45", False),
])  # fmt: skip
def test_if_unmodified_since(since: str, another: bool) -> None:
    assert ranges.changed(Headers({"if-unmodified-since": since}), '"tag"', DATE) is another
    both = Headers({"if-unmodified-since": since, "if-match": '"tag"'})
    assert not ranges.changed(both, '"tag"', DATE), "the tag says more"
