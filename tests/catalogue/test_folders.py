"""What lies below a folder, with names of all kinds, and below a prefix with odd keys."""

import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from xml.sax.saxutils import escape

import pytest
import structlog

pytest.importorskip("obstore")

from server.catalogue import storage
from server.catalogue.folders import below
from server.catalogue.storage import StorageError


def songs(folder: Path) -> list[str]:
    """What is found, relative to the folder."""
    found = below(str(folder), "", lambda name: name.endswith(".wav"))
    return [os.path.relpath(one.location, folder) for one in found]


@pytest.mark.parametrize("name", [
    b"caf\xe9.wav", b"caf\xe9/a.wav", b"tab\t.wav", b"two\nlines.wav", b"bell\x07.wav",
])  # fmt: skip
def test_a_name_that_no_store_takes_is_left_out_and_told(name: bytes, tmp_path: Path) -> None:
    (tmp_path / "good.wav").touch()
    odd = os.fsencode(tmp_path) + b"/" + name
    os.makedirs(os.path.dirname(odd), exist_ok=True)
    with open(odd, "wb"):
        pass
    with structlog.testing.capture_logs() as lines:
        assert songs(tmp_path) == ["good.wav"]
    (line,) = lines
    assert line["count"] == 1 and line["some"][0].isprintable()


def test_what_is_no_song_may_have_any_name(tmp_path: Path) -> None:
    (tmp_path / "good.wav").touch()
    with open(os.fsencode(tmp_path) + b"/caf\xe9.txt", "wb"):
        pass
    with structlog.testing.capture_logs() as lines:
        assert songs(tmp_path) == ["good.wav"]
    assert not lines


def test_what_cannot_be_read_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is closed, a link to nothing, and what is no file."""
    (tmp_path / "good.wav").touch()
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "broken.wav").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe.wav")
    scan = os.scandir

    def closed(path: Any) -> Any:
        if str(path).endswith("lost+found"):  # root may read it whatever its mode
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", closed)
    with structlog.testing.capture_logs() as lines:
        assert songs(tmp_path) == ["good.wav"]
    assert lines[0]["count"] == 3


def test_links_are_followed_and_no_folder_is_read_twice(tmp_path: Path) -> None:
    for name in ("in/z/a.wav", "elsewhere/b.wav"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (tmp_path / "in" / "a").symlink_to("z")
    (tmp_path / "in" / "z" / "up").symlink_to("..")
    (tmp_path / "in" / "more").symlink_to(tmp_path / "elsewhere")
    assert songs(tmp_path / "in") == ["more/b.wav", "z/a.wav"]


def test_a_file_has_the_version_that_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"x")
    (found,) = below(str(tmp_path), "", lambda name: True)
    fetched = storage.fetch(found.location, tmp_path / "copy")
    assert fetched is not None and fetched.version == found.version


class Listing(BaseHTTPRequestHandler):
    """A bucket of S3 that lists one key."""

    key: str

    def do_GET(self) -> None:
        said = (
            "<ListBucketResult><Name>b</Name><KeyCount>1</KeyCount><IsTruncated>false</IsTruncated>"
            f"<Contents><Key>{escape(self.key)}</Key><Size>1</Size><ETag>x</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents></ListBucketResult>"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Listing]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler := type("One", (Listing,), {}))
    Thread(target=server.serve_forever, daemon=True).start()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}", "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    storage._store.cache_clear()  # a store keeps the address that it was opened with
    yield handler
    storage._store.cache_clear()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("key", "told"), [
    ("m//b.wav", "m//b.wav"), ("m/./b.wav", "m/./b.wav"), ("m/two\nlines.wav", r"m/two\nlines.wav"),
])  # fmt: skip
def test_a_key_that_ends_the_list_of_a_store_is_named(
    key: str, told: str, bucket: type[Listing]
) -> None:
    bucket.key = key
    with pytest.raises(StorageError) as caught:
        below("s3://b/m", "", lambda name: True)
    assert f'"{told}"' in caught.value.message
    assert "a manifest that names the songs" in caught.value.message
