"""Linux's Landlock by its system calls: from a moment on a process touches the named files alone.

What is allowed can never be widened again, and goes to threads and children. See landlock(7).
"""

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path
from stat import S_ISDIR

LIBC = ctypes.CDLL(None, use_errno=True)
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on every architecture
VERSION = 1  # flag of CREATE_RULESET: only say which version the kernel has
PATH_BENEATH = 1

READ_FILE, READ_DIR, WRITE_FILE, TRUNCATE = 1 << 2, 1 << 3, 1 << 1, 1 << 14
READ = READ_FILE | READ_DIR
# and remove, make folders and plain files, rename between folders
WRITE = READ | WRITE_FILE | TRUNCATE | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 13
OF_FILES = READ_FILE | WRITE_FILE | TRUNCATE  # what a rule for a file, not a folder, may name
FILES = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}  # by version
TCP = {4: 0b11}  # to bind and to connect
SCOPED = 6
SCOPES = {SCOPED: 0b11}  # abstract unix sockets, and signals to others


class Ruleset(ctypes.Structure):
    """`struct landlock_ruleset_attr`: what is forbidden unless a rule allows it."""

    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64),
                ("scopes", ctypes.c_uint64))  # fmt: skip


class Rule(ctypes.Structure):
    """`struct landlock_path_beneath_attr`."""

    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """The kernel's version of Landlock, 0 for none."""
    return max(0, LIBC.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), VERSION))


def restrict(read: Iterable[Path], write: Iterable[Path]) -> None:
    """Lets this thread, and all that it starts, read and write below these paths alone; those
    that do not exist are left out. No program may be executed, no TCP connection opened.

    Needs no_new_privs. Raises OSError: the kernel refuses.
    """
    here = version()
    rules = Ruleset(_newest(FILES, here), _newest(TCP, here), _newest(SCOPES, here))
    size = 8 if here < 4 else 16 if here < 6 else 24  # what the kernel knows of the structure
    ruleset = _checked(LIBC.syscall(
        CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(size), 0))
    try:
        for paths, rights in ((read, READ), (write, WRITE)):
            for path in paths:
                _allow(ruleset, path, rights & rules.files)
        _checked(LIBC.syscall(RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= OF_FILES
        rule = Rule(rights, descriptor)
        _checked(LIBC.syscall(ADD_RULE, ruleset, PATH_BENEATH, ctypes.byref(rule), 0))
    finally:
        os.close(descriptor)


def _newest(since: dict[int, int], here: int) -> int:
    return max((flags for first, flags in since.items() if first <= here), default=0)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"landlock: {os.strerror(number)}")
    return result
