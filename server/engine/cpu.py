"""How a process gets the most of a CPU under torch: threads, memory, denormal numbers."""

import ctypes
import sys
from functools import cache

import torch

# Parameters of glibc's mallopt(3).
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4


def prepare_cpu(threads: int) -> None:
    """Sets this process up for heavy work on `threads` cores."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # fading sounds would slow down to a crawl
    keep_memory()


def keep_memory() -> None:
    """Asks glibc not to hand big blocks back to the kernel between forwards.

    Mapping them anew, page by page, is up to a third of the time of a small model's forward.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(M_TOP_PAD, 2**28)


def multiplies_int8() -> bool:
    """Whether the processor multiplies 8-bit integers four times as fast as float32."""
    return not {"avx512_vnni", "avx_vnni", "amx_int8"}.isdisjoint(_flags())


def multiplies_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 at least twice as fast as float32."""
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(_flags())


@cache
def _flags() -> frozenset[str]:
    """What the processor says that it can do, in the words of Linux."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            lines = (line.split() for line in file if line.startswith("flags"))
            return frozenset(next(lines, []))
    except OSError:
        return frozenset()
