"""A download that goes on where it was cut off never joins two files."""

import hashlib
from pathlib import Path

import pytest

from server.engine.pulling.downloading import NotThere, download
from server.engine.pulling.registry import Address
from server.errors import ModelError
from tests.engine.pulling.conftest import Shelf

OLD, NEW = b"old" * 1000, b"new" * 1200
ETAG, DATE = {"ETag": '"1"'}, {"Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
LATER = {'"1"': '"2"', DATE["Last-Modified"]: "Fri, 02 Jan 2026 00:00:00 GMT"}
WEAK = {"ETag": 'W/"1"'}


def begun(shelf: Shelf, tmp_path: Path, tags: dict[str, str]) -> tuple[Address, Path]:
    """A download whose first pull brought a third of the old file."""
    shelf.files, shelf.tags, shelf.cut = {"x": OLD}, {"x": tags}, 1000
    address, target = Address(f"{shelf.url}/x"), tmp_path / "x"
    shelf.ranges = False  # what is cut off at the same place again and again is given up
    with pytest.raises(ModelError, match="cannot be reached"):
        download(address, target)
    assert (tmp_path / "x.part").read_bytes() == OLD[:1000]
    shelf.asked, shelf.cut, shelf.ranges = [], None, True
    return address, target


def check(found: str, target: Path, content: bytes) -> None:
    assert target.read_bytes() == content and found == hashlib.sha256(content).hexdigest()
    assert [path.name for path in target.parent.iterdir()] == ["x"], "and nothing else is left"


@pytest.mark.parametrize("tags", [ETAG, DATE, DATE | WEAK])
def test_the_same_file_goes_on(tags: dict[str, str], shelf: Shelf, tmp_path: Path) -> None:
    address, target = begun(shelf, tmp_path, tags)
    check(download(address, target), target, OLD)
    assert shelf.asked == [("x", "bytes=1000-")]


@pytest.mark.parametrize("heeds", [True, False])
@pytest.mark.parametrize("tags", [ETAG, DATE, DATE | WEAK])
def test_another_file_begins_anew(
    tags: dict[str, str], heeds: bool, shelf: Shelf, tmp_path: Path
) -> None:
    address, target = begun(shelf, tmp_path, tags)
    shelf.files, shelf.heeds = {"x": NEW}, heeds
    shelf.tags = {"x": {name: LATER.get(value, value) for name, value in tags.items()}}
    check(download(address, target), target, NEW)


@pytest.mark.parametrize("tags", [{}, WEAK])
def test_a_file_that_nothing_tells_from_others_begins_anew(
    tags: dict[str, str], shelf: Shelf, tmp_path: Path
) -> None:
    address, target = begun(shelf, tmp_path, tags)
    shelf.files = {"x": NEW}
    check(download(address, target), target, NEW)
    assert shelf.asked == [("x", None)]


def test_a_sum_that_is_known_tells_it_too(shelf: Shelf, tmp_path: Path) -> None:
    address, target = begun(shelf, tmp_path, {})
    known = Address(address.url, hashlib.sha256(OLD).hexdigest())
    check(download(known, target), target, OLD)
    assert shelf.asked == [("x", "bytes=1000-")]


@pytest.mark.parametrize("totals", [True, False])
@pytest.mark.parametrize("content", [OLD, OLD[:500]])
def test_nothing_left_is_all_of_it_only_if_it_is_as_long(
    content: bytes, totals: bool, shelf: Shelf, tmp_path: Path
) -> None:
    address, target = begun(shelf, tmp_path, ETAG)
    (tmp_path / "x.part").write_bytes(OLD)
    shelf.files, shelf.totals = {"x": content}, totals
    check(download(address, target), target, content)
    again = content != OLD or not totals
    assert shelf.asked == [("x", "bytes=3000-"), ("x", None)][: 1 + again]


def test_a_part_from_elsewhere_in_the_file_is_not_joined(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, target = begun(shelf, tmp_path, ETAG)
    monkeypatch.setattr("server.engine.pulling.downloading._goes_on", lambda *_: False)
    check(download(address, target), target, OLD)
    assert shelf.asked == [("x", "bytes=1000-"), ("x", None)]


@pytest.mark.parametrize(("status", "there"), [(404, False), (403, False), (410, False),
                                               (401, True), (500, True)])  # fmt: skip
def test_a_file_that_is_not_there(
    status: int, there: bool, shelf: Shelf, tmp_path: Path
) -> None:
    shelf.statuses["x"] = status
    with pytest.raises(ModelError, match=f"answers {status} for x") as refused:
        download(Address(f"{shelf.url}/x"), tmp_path / "x")
    assert isinstance(refused.value, NotThere) != there
