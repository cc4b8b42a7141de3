"""What a server decides before it starts: files and connections."""

import errno
import fcntl
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from server import starting
from server.errors import ConfigError
from server.starting import (
    MOST_FILES,
    check_log,
    check_port,
    lock,
    most_connections,
    raise_file_limit,
)


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


def test_a_start_sweeps_the_faster_place_of_former_settings(tmp_path: Path) -> None:
    (tmp_path / "fast").mkdir()
    code = ("import sys, server.app, server.cli; from unittest.mock import Mock;"
            "server.app.Host = Mock(); sys.exit(server.cli.main(sys.argv[1:]))")  # fmt: skip
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for scratch_dir, places in ((str(tmp_path / "fast"), 1), ("", 0)):
        subprocess.run(
            [sys.executable, "-c", code, "serve", "--data-dir", tmp_path / "data", "--port",
             str(port)],
            env=os.environ | {"STEMBOX_SERVER__SCRATCH_DIR": scratch_dir}, check=True,
        )  # fmt: skip
        assert len(list((tmp_path / "fast").iterdir())) == places


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


def test_a_file_system_without_locks_is_no_second_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with (tmp_path / "lock").open("w") as file, pytest.raises(ConfigError) as refused:
        lock(file.fileno(), tmp_path)
    assert "cannot be locked" in str(refused.value) and "No locks available" in str(refused.value)


def test_a_network_that_this_machine_lacks_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))

    monkeypatch.setattr(socket, "socket", none)
    with pytest.raises(ConfigError, match=r"cannot listen on \[::\]:8000: Address family"):
        check_port("::", 8000)
