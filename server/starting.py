"""What must be so before a server starts, and what is said when it does."""

import fcntl
import resource
import socket
import time
from pathlib import Path

import structlog

from server import __version__
from server.config import Config
from server.engine.library import choice
from server.errors import ConfigError
from server.jobs.disk.folders import CANNOT_LOCK, IN_USE
from server.net.urls import in_url
from server.work.confinement import log_is_file
from server.work.pools import PoolPlan

log = structlog.get_logger()
LOCK_SECONDS = 3.0
MOST_FILES = 1 << 16  # open at once; more are of no use, and some programs walk through all
OWN_FILES = 512  # of them for what is no connection: windows, database, workers


def lock(descriptor: int, data_dir: Path) -> None:
    """Keeps others from using the data directory, for as long as the file is open.

    The processes of a server that was killed hold the lock until they are gone, too. Raises
    ConfigError: a server, or a command, holds it.
    """
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise ConfigError(f"{data_dir} {IN_USE}") from None
            time.sleep(0.1)
        except OSError as error:  # of network file systems without locks
            raise ConfigError(f"{data_dir} {CANNOT_LOCK}: {error.strerror}") from None


def raise_file_limit() -> int:
    """Lets this process, and those that it starts, open as many files as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return MOST_FILES if soft == resource.RLIM_INFINITY else soft


def check_log(confine: str) -> None:
    """Says once what each confined worker lacks where the log is a file."""
    if confine != "off" and log_is_file():
        log.warning("the log is a file: the size of files that workers write is not limited")


def most_connections(wanted: int, files: int) -> int:
    """As many as wanted, if each may have a file open and enough are left for the server."""
    most = max(2, min(wanted, (files - OWN_FILES) // 2))
    if most < wanted:
        log.warning(
            "the system's limit of open files bounds connections",
            connections=most,
            wanted=wanted,
            open_files=files,
        )
    return most


def check_port(host: str, port: int) -> None:
    """Raises ConfigError where somebody else listens already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise ConfigError(f"cannot listen on {place(host, port)}: {error.strerror}") from None


def place(host: str, port: int) -> str:
    """Both as URLs have them."""
    return f"{in_url(host)}:{port}"


def banner(config: Config, plans: list[PoolPlan]) -> str:
    """What a person wants to see when the server starts."""
    lines = [f"stembox {__version__}  http://{place(config.server.host, config.server.port)}"]
    lines.append(f"  data     {config.data_dir}")
    for plan in plans:
        lines.append(
            f"  {plan.name:<10} {len(plan.devices)} worker(s) on "
            f"{', '.join(sorted(set(plan.devices)))}"
        )
    for tier, model in choice.tiers(config).items():
        note = ""
        if model["serving"] is None:
            note = f" - {model['wanted']} is not on this machine"
        elif model["serving"] != model["wanted"]:
            note = f" (in place of {model['wanted']}, which is not on this machine)"
        lines.append(f"  {tier:<10} {model['serving'] or 'not available'}{note}")
    for refused in choice.refused(config):
        lines.append(f"  {refused.name:<10} not used: {refused.reason}")
    return "\n".join(lines)
