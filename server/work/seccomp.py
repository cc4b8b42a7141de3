"""Linux's seccomp: from a moment on some system calls fail for a process, in all its threads.

What is refused: new sockets (Landlock does not see whom they call), other programs and processes,
signals to others, other processes' memory and share of the processor, the ways around these, and
what else Landlock does not see: whose a file is, who may read it (by its mode or a list, which is
an extended attribute), how old it is, and keys pressed on a terminal. Decoding needs none of it. A
socket that is there already is used on. See seccomp(2).
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

LIBC = ctypes.CDLL(None, use_errno=True)
FILTER, FOR_ALL_THREADS = 1, 1  # SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC
LOAD, JUMP_EQUAL, JUMP_ABOVE, JUMP_SET, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, FAIL = 0x7FFF0000, 0x00050000
NUMBER, ARCHITECTURE, ARGUMENT = 0, 4, 16  # offsets in `struct seccomp_data`
CLONE_THREAD = 0x00010000
OTHER_ABI = 0x40000000  # x32's calls, which have the same numbers otherwise


class Calls(NamedTuple):
    """Numbers of system calls on one architecture."""

    audit: int  # AUDIT_ARCH_*
    seccomp: int
    clone: int
    limits: int  # prlimit64
    device: int  # ioctl
    signals: tuple[int, ...]  # kill, tkill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo
    forbidden: tuple[int, ...]


# The newer calls have one number everywhere: pidfd_send_signal, io_uring_setup, pidfd_open,
# pidfd_getfd, process_madvise, fchmodat2, those that mount by descriptors, setxattrat and
# removexattrat.
EVERYWHERE = (424, 425, 434, 438, 440, 452, 428, 429, 430, 431, 432, 433, 442, 463, 466)
CLONE3 = 435
TYPING = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX: keys pressed on the terminal of who started us
MACHINES: Mapping[str, Calls] = MappingProxyType({
    # fork vfork execve execveat ptrace process_vm_readv process_vm_writev bpf userfaultfd
    # perf_event_open mount umount2 pivot_root unshare setns keyctl add_key request_key
    # kexec_load init_module finit_module chroot open_by_handle_at truncate; chmod fchmod fchmodat
    # chown fchown lchown fchownat; setxattr lsetxattr fsetxattr and the same of removexattr;
    # utimensat (on x86 also utime utimes futimesat); setpriority sched_setparam
    # sched_setscheduler sched_setattr sched_setaffinity ioprio_set; socket socketpair connect bind
    "x86_64": Calls(0xC000003E, 317, 56, 302, 16, (62, 200, 234, 129, 297), (
        57, 58, 59, 322, 101, 310, 311, 321, 323, 298, 165, 166, 155, 272, 308, 250, 248, 249,
        246, 175, 313, 161, 304, 76, 90, 91, 268, 92, 93, 94, 260,
        188, 189, 190, 197, 198, 199, 280, 132, 235, 261, 141, 142, 144, 314, 203, 251,
        41, 53, 42, 49)),
    "aarch64": Calls(0xC00000B7, 277, 220, 261, 29, (129, 130, 131, 138, 240), (
        221, 281, 117, 270, 271, 280, 282, 241, 40, 39, 41, 97, 268, 219, 217, 218,
        104, 105, 273, 51, 265, 45, 52, 53, 55, 54,
        5, 6, 7, 14, 15, 16, 88, 140, 118, 119, 274, 122, 30,
        198, 199, 203, 200)),
})  # fmt: skip


def known() -> bool:
    """Whether the calls of this machine are known."""
    return platform.machine() in MACHINES and struct.calcsize("P") == 8


def restrict() -> None:
    """Refuses those calls in all threads of this process from now on. Needs no_new_privs.

    Raises OSError: the kernel refuses.
    """
    calls = MACHINES[platform.machine()]
    program = b"".join(filter_for(calls, os.getpid()))
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    result = LIBC.syscall(calls.seccomp, FILTER, FOR_ALL_THREADS, ctypes.c_char_p(header))
    if result != 0:  # a positive one is a thread that cannot follow
        number = ctypes.get_errno() if result < 0 else errno.EBUSY
        raise OSError(number, f"seccomp: {os.strerror(number)}")


def filter_for(calls: Calls, own: int) -> list[bytes]:
    """The filter as instructions of classic BPF, for the process `own`."""
    refuse = [_do(RETURN, FAIL | errno.EPERM)]

    def only_if(number: int, argument: int, test: int, value: int) -> list[bytes]:
        """A call is allowed if its argument passes; what it has to be is below 2**31."""
        rest = [_do(LOAD, ARGUMENT + 8 * argument), _do(test, value, 0, 1), _do(RETURN, ALLOW)]
        return [_do(JUMP_EQUAL, number, 0, len(rest) + 1), *rest, *refuse]

    program = [_do(LOAD, ARCHITECTURE), _do(JUMP_EQUAL, calls.audit, 1, 0), *refuse]
    program += [_do(LOAD, NUMBER), _do(JUMP_ABOVE, OTHER_ABI, 0, 1), *refuse]
    for number in (*calls.forbidden, *EVERYWHERE):
        program += [_do(JUMP_EQUAL, number, 0, 1), *refuse]
    # The C library takes the older call then, whose flags can be seen from here.
    program += [_do(JUMP_EQUAL, CLONE3, 0, 1), _do(RETURN, FAIL | errno.ENOSYS)]
    program += only_if(calls.clone, 0, JUMP_SET, CLONE_THREAD)
    program += only_if(calls.limits, 0, JUMP_EQUAL, 0)
    keys = [step for key in TYPING for step in (_do(JUMP_EQUAL, key, 0, 1), *refuse)]
    typing = [_do(LOAD, ARGUMENT + 8), *keys, _do(RETURN, ALLOW)]
    program += [_do(JUMP_EQUAL, calls.device, 0, len(typing)), *typing]
    for number in calls.signals:
        program += only_if(number, 0, JUMP_EQUAL, own)
    return [*program, _do(RETURN, ALLOW)]


def _do(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)
