"""What a server decides before it starts: files and connections."""

import fcntl
import os
import resource
from pathlib import Path

import pytest
import structlog

from server import starting
from server.errors import ConfigError
from server.starting import MOST_FILES, check_log, lock, most_connections, raise_file_limit


def test_connections_leave_files_for_the_server() -> None:
    assert most_connections(4000, 1 << 16) == 4000
    assert most_connections(4000, 1024) == 256
    assert most_connections(100, 1024) == 100
    assert most_connections(4000, 10) == 2


def test_the_limit_of_open_files_is_raised() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        raised = raise_file_limit()
        assert raised == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        assert raised == min(MOST_FILES, hard if hard != resource.RLIM_INFINITY else MOST_FILES)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_whoever_holds_the_lock_is_not_taken_for_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be a backup, an audit or a restore."""
    monkeypatch.setattr(starting, "LOCK_SECONDS", 0.0)
    with open(tmp_path / "lock", "w") as held, open(tmp_path / "lock", "w") as wanted:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match=f"{tmp_path} is in use by another stembox: a server"):
            lock(wanted.fileno(), tmp_path)


@pytest.mark.parametrize(("file", "confine", "said"), [
    (True, "auto", 1), (True, "off", 0), (False, "auto", 0)])  # fmt: skip
def test_a_log_that_is_a_file_is_said_once(
    tmp_path: Path, file: bool, confine: str, said: int
) -> None:
    kept = [os.dup(stream) for stream in (1, 2)]
    try:
        for stream, path in ((1, os.devnull), (2, tmp_path / "log" if file else os.devnull)):
            with open(path, "w") as target:
                os.dup2(target.fileno(), stream)
        with structlog.testing.capture_logs() as lines:
            check_log(confine)
    finally:
        for stream, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, stream)
            os.close(copy)
    assert [line["log_level"] for line in lines] == ["warning"] * said
