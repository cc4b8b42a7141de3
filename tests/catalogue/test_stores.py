"""How stores are opened, and when a file of this machine counts as written."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("obstore")

import obstore
from obstore.exceptions import GenericError

from server.catalogue import storage
from server.catalogue.storage import FETCHING, SENDING, NoRoom, StorageError


@pytest.fixture(autouse=True)
def _opened_anew() -> Iterator[None]:
    storage._store.cache_clear()  # a store keeps the environment that it was opened in
    yield
    storage._store.cache_clear()


def test_what_is_slow_and_steady_has_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is sent is not cut off for a silence: the store answers when it has all of it."""
    monkeypatch.delenv("AWS_ALLOW_HTTP", raising=False)
    assert storage._store("s3://b").client_options == FETCHING
    assert storage._store("s3://b", sending=True).client_options == SENDING
    assert "read_timeout" in FETCHING and "read_timeout" not in SENDING


def test_the_environments_own_options_count(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"AWS_ALLOW_HTTP": "true", "AWS_TIMEOUT": "5s", "GOOGLE_ALLOW_HTTP": "true",
                        "AWS_PROXY_URL": "http://127.0.0.1:9"}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    assert storage._store("s3://b").client_options == FETCHING | {
        "allow_http": "true", "timeout": "5s", "proxy_url": "http://127.0.0.1:9"}  # fmt: skip
    assert storage._store("https://host/a.wav").client_options == FETCHING
    assert storage._store("http://host/a.wav").client_options == FETCHING | {"allow_http": "true"}


def test_a_file_is_on_the_disk_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", lambda opened: synced.append(
        os.readlink(f"/proc/self/fd/{opened}")))  # fmt: skip
    (tmp_path / "stem").write_bytes(b"x")
    storage.put_file(tmp_path / "stem", str(tmp_path / "out" / "stem"))
    assert synced == [str(tmp_path / "out" / "stem"), str(tmp_path / "out")]
    assert storage.create(str(tmp_path / "out" / "result"), b"y")
    assert synced[2:] == [str(tmp_path / "out" / "result"), str(tmp_path / "out")]
    assert not storage.create(str(tmp_path / "out" / "result"), b"y") and len(synced) == 4


def test_a_disk_that_is_full_only_when_it_is_asked_to_keep_says_so_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one of another machine may be."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NoRoom, match="No space left on device"):
        storage.create(str(tmp_path / "a"), b"")


@pytest.mark.parametrize(("said", "kind"), [
    ("Generic LocalFileSystem error: No space left on device (os error 28)\n\nDebug", NoRoom),
    ("Generic LocalFileSystem error: Read-only file system (os error 30)", NoRoom),
    ("Generic LocalFileSystem error: Input/output error (os error 5)", StorageError),
])  # fmt: skip
def test_a_disk_without_room_is_told_from_other_errors(
    said: str, kind: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(*_: object, **__: object) -> None:
        raise GenericError(said)

    monkeypatch.setattr(obstore, "put", put)
    with pytest.raises(StorageError) as caught:
        storage.create(str(tmp_path / "a"), b"")
    assert type(caught.value) is kind
