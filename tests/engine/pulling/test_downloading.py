"""A download that goes on where it was cut off never joins two files."""

import hashlib
import resource
from collections.abc import Iterator
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


def test_another_place_begins_anew_whatever_its_tag(shelf: Shelf, tmp_path: Path) -> None:
    _, target = begun(shelf, tmp_path, ETAG)
    shelf.files = {"x": NEW}
    check(download(Address(f"{shelf.url}/mirror/x"), target), target, NEW)
    assert shelf.asked == [("x", None)]


def test_another_signature_is_the_same_place(shelf: Shelf, tmp_path: Path) -> None:
    address, target = begun(shelf, tmp_path, ETAG)
    shelf.files["x?signed=anew"], shelf.tags["x?signed=anew"] = OLD, ETAG
    check(download(Address(f"{address.url}?signed=anew"), target), target, OLD)
    assert shelf.asked == [("x?signed=anew", "bytes=1000-")]


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
def test_a_file_that_is_not_there(status: int, there: bool, shelf: Shelf, tmp_path: Path) -> None:
    shelf.statuses["x"] = status
    with pytest.raises(ModelError, match=f"answers {status} for x") as refused:
        download(Address(f"{shelf.url}/x"), tmp_path / "x")
    assert isinstance(refused.value, NotThere) != there


@pytest.fixture
def little_room() -> Iterator[int]:
    """No file may grow over so many bytes."""
    before, room = resource.getrlimit(resource.RLIMIT_FSIZE), 100_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    yield room
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_not_the_networks_fault(
    little_room: int, shelf: Shelf, tmp_path: Path
) -> None:
    """Nor is the network asked again; what there was room for stays."""
    shelf.files, shelf.tags = {"x": bytes(little_room + 1)}, {"x": ETAG}
    with pytest.raises(ModelError, match=r"x\.part cannot be written: File too large"):
        download(Address(f"{shelf.url}/x"), tmp_path / "x")
    assert len(shelf.asked) == 1
    assert (tmp_path / "x.part").stat().st_size == little_room


def test_a_place_that_is_not_ours(shelf: Shelf, tmp_path: Path) -> None:
    shelf.files = {"x": OLD}
    (tmp_path / "x.part").symlink_to("/proc/none")
    with pytest.raises(ModelError, match=r"x\.part cannot be written: No such file"):
        download(Address(f"{shelf.url}/x"), tmp_path / "x")


def test_what_is_whole_is_not_fetched_again(shelf: Shelf, tmp_path: Path) -> None:
    shelf.files, target = {"x": OLD}, tmp_path / "x"
    known = Address(f"{shelf.url}/x", hashlib.sha256(OLD).hexdigest(), len(OLD))
    target.write_bytes(OLD)
    check(download(known, target), target, OLD)
    assert not shelf.asked
    target.write_bytes(NEW)
    check(download(known, target), target, OLD)
    assert shelf.asked == [("x", None)]
