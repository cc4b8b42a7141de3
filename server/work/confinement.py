"""Takes from a worker process what its work does not need, for good: strangers' files are decoded
in it, and a decoder may be made to do anything that its process may do.

What the kernel at hand cannot do is said, not hidden. Knows no audio.
"""

import ctypes
import os
import resource
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from server.errors import ConfigError
from server.work import landlock, seccomp

LIMITS = "limits"
LIBC = ctypes.CDLL(None, use_errno=True)
PACKAGES = ("site-packages", "dist-packages")
# What confined workers compile lies beside what they read before that, and is read by no other:
# code of theirs must never run where more is allowed.
CONFINED_CACHE = "-confined"
PR_SET_NO_NEW_PRIVS = 38
MUST = {"privileges", "files", "network", "processes"}
# What Python and its libraries read while they work: themselves, the machine, the time zone.
SYSTEM = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share", "/lib", "/lib64",
          "/etc/ld.so.cache", "/etc/localtime", "/dev/urandom", "/dev/null", "/dev/zero",
          "/proc/cpuinfo", "/proc/meminfo", "/proc/self", "/sys/devices/system/cpu",
          "/sys/fs/cgroup")  # fmt: skip


class Rights(Struct, frozen=True):
    """What a pool's workers may still do.

    read, write: below these paths. secret: a folder that nothing else gives away. file_bytes: the
    size of a file that they write. must: fail where the kernel cannot take all that is strange to
    the work.
    """

    secret: Path
    read: tuple[Path, ...]
    write: tuple[Path, ...]
    file_bytes: int
    open_files: int
    must: bool


class Confinement(Struct, frozen=True):
    """What was taken from a process, and why the rest was not, by name."""

    done: tuple[str, ...] = ()
    lacking: dict[str, str] = {}


def confine(rights: Rights) -> Confinement:
    """Confines this process, which must not have other threads yet.

    Raises ConfigError: not all of it can be done, and must be. Of what can be:

    privileges: none that a program could bring. files: those of `rights` alone. network: no socket
    but those that are there, unix ones included. processes: no others, and no signals to any.
    limits: size and number of files.
    """
    steps: dict[str, Callable[[], None]] = {
        LIMITS: lambda: _limit(rights),
        "privileges": _no_new_privileges,
        "files": lambda: _only_files(rights),
        "network": _no_network,
        "processes": _no_processes,
    }
    done, lacking = [], {}
    for name, take in steps.items():
        try:
            take()
            done.append(name)
        except OSError as error:
            lacking[name] = error.strerror or str(error)
    if rights.must and MUST & set(lacking):
        raise ConfigError("audio.confine = must, but: " + "; ".join(
            f"{name}: {why}" for name, why in lacking.items()))
    return Confinement(tuple(done), lacking)


def log_is_file() -> bool:
    """Whether what this process and its children print goes to a file, which may grow."""
    for stream in (1, 2):
        with suppress(OSError):  # it is closed
            if stat.S_ISREG(os.fstat(stream).st_mode):
                return True
    return False


def _limit(rights: Rights) -> None:
    _lower(resource.RLIMIT_NOFILE, rights.open_files)
    if log_is_file():
        raise OSError(0, "the log is a file, whose size would be limited too")
    _lower(resource.RLIMIT_FSIZE, rights.file_bytes)


def _lower(limit: int, to: int) -> None:
    _, hard = resource.getrlimit(limit)
    to = to if hard == resource.RLIM_INFINITY else min(to, hard)
    resource.setrlimit(limit, (to, to))


def _no_new_privileges() -> None:
    if LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the kernel has no no_new_privs")


def _only_files(rights: Rights) -> None:
    if not landlock.version():
        raise OSError(0, "the kernel has no Landlock")
    if (threads := len(os.listdir("/proc/self/task"))) > 1:
        raise OSError(0, f"{threads - 1} threads run already")
    own = _own_files()
    if among := [path for path in own if rights.secret.resolve().is_relative_to(path)]:
        raise OSError(0, f"the data directory lies in {among[0]}, which has to be read")
    landlock.restrict([*own, *rights.read], rights.write)


def _own_files() -> list[Path]:
    """What Python, its libraries and this package are made of; not all that modules are looked
    for in, which may be the folder that somebody happened to be in."""
    code = Path(__file__).resolve().parents[2]
    found = [Path(path) for path in SYSTEM]
    found += [Path(prefix, name) for prefix in (sys.prefix, sys.base_prefix)
              for name in ("lib", "lib64")]  # not all of it: data may lie beside
    found += [Path(path) for path in sys.path if Path(path).name in PACKAGES]
    return [path.resolve() for path in (*found, code / "server", code / "kernels")]


def _no_network() -> None:
    if not seccomp.known():
        raise OSError(0, "this machine's system calls are not known")
    seccomp.restrict()


def _no_processes() -> None:
    if not _filtered():
        raise OSError(0, "without the filter of system calls")


def _filtered() -> bool:
    """Whether system calls are filtered (Seccomp of proc(5): 2)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return "Seccomp:\t2" in lines
