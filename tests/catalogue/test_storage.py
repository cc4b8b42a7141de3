"""Objects of this machine's files and of a real S3 server, by the same calls."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

pytest.importorskip("obstore")
pytest.importorskip("moto")
pytest.importorskip("flask", reason="moto's server needs it")

from obstore.store import HTTPStore, S3Store

from server.catalogue import locations, storage
from server.catalogue.listing import read_listing
from server.catalogue.storage import NoSuchObject, StorageError
from tests.catalogue import s3

NAMES = ["a.wav", "a b/c.wav", "ü é/…'.wav", "a%20b#?&+.wav"]


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3.serving():
        yield f"s3://{s3.BUCKET}"


@pytest.fixture(params=["file", "s3"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty folder, or a prefix of a bucket."""
    if request.param == "file":
        return str(tmp_path / "store")
    return f"{request.getfixturevalue('bucket')}/{tmp_path.name}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Three parts of an upload, and a little more."""
    path = tmp_path / "big"
    path.write_bytes(os.urandom(2 * storage.CHUNK + 12345))
    return path


@pytest.mark.parametrize("name", NAMES)
def test_a_file_goes_and_comes_back(base: str, name: str, file: Path, tmp_path: Path) -> None:
    place = locations.join(base, name)
    storage.put_file(file, place)
    fetched = storage.fetch(place, tmp_path / "back")
    assert fetched is not None
    assert fetched.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (tmp_path / "back").read_bytes() == file.read_bytes()
    assert list(storage.under(base)) == [storage.Found(place, fetched.version)]


def test_what_has_not_changed_is_not_fetched(base: str, file: Path, tmp_path: Path) -> None:
    place = locations.join(base, "a")
    storage.put_file(file, place)
    fetched = storage.fetch(place, tmp_path / "back")
    assert fetched is not None
    assert storage.fetch(place, tmp_path / "again", unless=fetched.version) is None
    file.write_bytes(b"other")
    storage.put_file(file, place)
    again = storage.fetch(place, tmp_path / "again", unless=fetched.version)
    assert again is not None and again.version != fetched.version
    assert (tmp_path / "again").read_bytes() == b"other"


def test_what_is_there_is_not_created(base: str) -> None:
    place = locations.join(base, "x/row.json")
    assert storage.read(place) is None
    assert storage.create(place, b"first")
    assert not storage.create(place, b"second")
    assert storage.read(place) == b"first"


def test_deleting_twice_and_listing_nothing_are_no_errors(base: str) -> None:
    storage.create(locations.join(base, "x/1"), b"")
    storage.create(locations.join(base, "x2"), b"")
    storage.delete([locations.join(base, "x/1")] * 2)
    assert list(storage.under(locations.join(base, "x"))) == []
    assert [one.location for one in storage.under(base)] == [locations.join(base, "x2")]


def test_more_objects_than_one_request_lists(base: str) -> None:
    for number in range(storage.LIST + 5):
        storage.create(locations.join(base, f"{number}"), b"")
    assert len(list(storage.under(base))) == storage.LIST + 5


def test_what_is_not_there_is_said(base: str, tmp_path: Path) -> None:
    with pytest.raises(NoSuchObject):
        storage.fetch(locations.join(base, "missing"), tmp_path / "x")


def test_a_bucket_that_is_not_there_is_an_error(bucket: str, file: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        storage.put_file(file, "s3://no-such-bucket/x")
    with pytest.raises(StorageError):
        list(storage.under("s3://no-such-bucket/x"))
    with pytest.raises(StorageError):
        storage.check("s3://no-such-bucket/x")


def test_a_place_that_can_be_written_to_is_left_as_it_was(base: str) -> None:
    storage.check(base)
    assert list(storage.under(base)) == []


def test_a_mark_is_there_for_as_long_as_it_is_needed(base: str) -> None:
    """What killed runs have left goes in time; another run's stays, for its machines look at it."""
    folder = locations.join(base, storage.MARKS)
    for left in ("left", "1000000000-ab"):
        storage.create(locations.join(folder, left), b"")
    with storage.marked(base) as other, storage.marked(base) as place:
        assert {one.location for one in storage.under(base)} == {other, place}
        assert storage.read(place) == b""
    assert list(storage.under(base)) == []


def test_a_name_that_no_store_has_is_an_error(base: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        storage.fetch(f"{base}/a//b/../c", tmp_path / "x")


def test_a_file_that_nobody_may_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError):
        storage.fetch(str(tmp_path / "folder"), tmp_path / "x")


SENDER = """
import resource, sys
from pathlib import Path
from server.catalogue import storage
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
storage.put_file(Path(sys.argv[1]), sys.argv[2])
storage.fetch(sys.argv[2], Path(sys.argv[1] + ".back"))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_is_bounded_whatever_the_size(base: str, tmp_path: Path) -> None:
    """The peak of a process that sends 160 MiB and takes it back."""
    big = tmp_path / "big"
    with big.open("wb") as opened:
        opened.truncate(160 << 20)
    command = [sys.executable, "-c", SENDER, str(big), locations.join(base, "big")]
    grown = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ,
                           timeout=120).stdout  # fmt: skip
    assert int(grown) * 1024 < 96 << 20
    assert (tmp_path / "big.back").stat().st_size == 160 << 20


class Broken(BaseHTTPRequestHandler):
    """Serves one object, and closes the connection after each fifth of it."""

    protocol_version = "HTTP/1.1"
    content = bytes(range(256)) * 4096 * 25
    tag = '"one"'

    def do_GET(self) -> None:
        start = int(self.headers.get("Range", "bytes=0-")[6:].split("-")[0])
        same = self.headers.get("If-Match", self.tag) == self.tag
        end = min(len(self.content), start + len(self.content) // 5)
        self.send_response(412 if not same else 206 if start else 200)
        self.send_header("ETag", self.tag)
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("Content-Length", str(len(self.content) - start if same else 0))
        if start:
            last = len(self.content) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(self.content)}")
        self.end_headers()
        if same:
            self.wfile.write(self.content[start:end])
            type(self).tag = self.next_tag
        self.close_connection = True

    next_tag = tag

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def broken() -> Iterator[type[Broken]]:
    """A server of http that breaks off, found at `url`."""
    handler = type("One", (Broken,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    handler.url = f"http://127.0.0.1:{server.server_address[1]}/song.wav"
    Thread(target=server.serve_forever, daemon=True).start()
    yield handler
    server.shutdown()
    server.server_close()


def test_a_download_that_breaks_off_goes_on(broken: type[Broken], tmp_path: Path) -> None:
    fetched = storage.fetch(broken.url, tmp_path / "x")
    assert fetched is not None
    assert fetched.sha256 == hashlib.sha256(broken.content).hexdigest()
    assert (tmp_path / "x").read_bytes() == broken.content


def test_two_halves_of_two_versions_are_no_song(broken: type[Broken], tmp_path: Path) -> None:
    broken.next_tag = '"two"'
    with pytest.raises(StorageError):
        storage.fetch(broken.url, tmp_path / "x")


class Signed(BaseHTTPRequestHandler):
    """Serves what it is asked for: the path and query as they came, in lines of a manifest."""

    def do_GET(self) -> None:
        self.answer(200, f"path,asked\na b%.wav,{self.path}\n")

    def do_PROPFIND(self) -> None:
        """A folder by WebDAV, with one file."""
        said = "".join(
            f"<response><href>{self.path}{name}</href><propstat><prop><getlastmodified>"
            "Thu, 01 Jan 2026 00:00:00 GMT</getlastmodified><getcontentlength>3</getcontentlength>"
            f"<resourcetype>{kind}</resourcetype></prop><status>HTTP/1.1 200 OK</status></propstat>"
            "</response>" for name, kind in (("/", "<collection/>"), ("/100%25%20%23.wav", ""))
        )  # fmt: skip
        self.answer(207, f'<multistatus xmlns="DAV:">{said}</multistatus>')

    def answer(self, status: int, text: str) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(status)
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[str]:
    """The root of a server of `Signed`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Signed)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("asked", [
    "/a.wav", "/in/a%20b.wav", "/in/a.wav?sig=a%2Fb+c/d%3D&x", "/in/?id=7", "/in/a%2Fb.wav",
    "/in//a.wav", "/?id=7",
])  # fmt: skip
def test_an_address_is_asked_for_as_it_stands(asked: str, web: str, tmp_path: Path) -> None:
    assert storage.fetch(f"{web}{asked}", tmp_path / "x") is not None
    assert (tmp_path / "x").read_text().splitlines()[1].endswith(f",{asked}")


def test_what_is_signed_is_not_signed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signed address of S3 is asked for with its query, and by nobody's credentials."""
    asked = []

    def get(store: object, key: str, **_: object) -> None:
        asked.append((store, key))
        raise FileNotFoundError

    monkeypatch.setattr(storage.obstore, "get", get)
    signed = "https://bucket.s3.eu-west-1.amazonaws.com/a%20b.wav?X-Amz-Signature=1"
    for location in (signed, signed.partition("?")[0]):
        with pytest.raises(NoSuchObject):
            storage.fetch(location, Path(os.devnull))
    (web, address), (store, key) = asked
    assert (type(web), web.url, address) == (HTTPStore, signed, "")
    assert (type(store), key) == (S3Store, "a%20b.wav")


def test_a_manifest_may_have_a_query(web: str, tmp_path: Path) -> None:
    (entry,) = read_listing(f"{web}/in/songs.csv?sig=a/b").entries
    assert entry.others[1] == "/in/songs.csv?sig=a/b"
    storage.fetch(entry.input, tmp_path / "x")
    assert (tmp_path / "x").read_text().endswith(",/in/a%20b%25.wav\n")


def test_a_folder_of_the_web_lists_addresses(web: str, tmp_path: Path) -> None:
    (entry,) = read_listing(f"{web}/my%20songs").entries
    storage.fetch(entry.input, tmp_path / "x")
    assert (tmp_path / "x").read_text().endswith(",/my%20songs/100%25%20%23.wav\n")


def test_the_web_takes_no_stems(web: str) -> None:
    with pytest.raises(StorageError, match="not yet implemented"):
        storage.check(f"{web}/out")
