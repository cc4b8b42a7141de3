"""Files that are made to take long: a look at them ends, by packets and by CPU time."""

import resource
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from server.audio import decode
from server.audio.budget import CpuBudget, within_cpu
from server.audio.sources.decoding import decoder
from server.errors import AudioError
from server.work.steps import Steps, finish

PACKETS = 60_000


def size_of(number: int, length: int = 0) -> bytes:
    """A variable-size integer of EBML."""
    length = length or next(n for n in range(1, 9) if number < (1 << 7 * n) - 1)
    return (number | 1 << 7 * length).to_bytes(length, "big")


def element(name: str, *parts: bytes) -> bytes:
    data = b"".join(parts)
    return bytes.fromhex(name) + size_of(len(data)) + data


def matroska(codec: bytes, tracks: int, private: bytes = b"") -> bytes:
    """A file of packets of one byte each, in turn of its tracks."""
    head = element("1A45DFA3", element("4282", b"matroska"), element("4287", b"\4"),
                   element("4285", b"\2"))
    sound = element("E1", element("B5", struct.pack(">d", 44_100.0)), element("9F", b"\2"))
    entries = [
        element("AE", element("D7", bytes([number])), element("73C5", bytes([number])),
                element("83", b"\2"), element("86", codec), sound,
                element("63A2", private) if private else b"")
        for number in range(1, tracks + 1)
    ]
    clusters = []
    for first in range(0, PACKETS, 1000):
        blocks = [element("A3", size_of(1 + n % tracks), struct.pack(">h", n - first), b"\x80\x00")
                  for n in range(first, first + 1000)]
        clusters.append(element("1F43B675", element("E7", first.to_bytes(4, "big")), *blocks))
    body = b"".join([element("1549A966", element("2AD7B1", b"\x0f\x42\x40")),
                     element("1654AE6B", *entries), *clusters])
    return head + bytes.fromhex("18538067") + size_of(len(body), 8) + body


@pytest.mark.parametrize(("codec", "private", "tracks"), [
    (b"A_AAC", b"\x12\x10", 1), (b"A_AAC", b"\x12\x10", 3), (b"A_VORBIS", b"", 1),
    (b"A_AC3", b"", 1), (b"A_FLAC", b"", 2), (b"A_PCM/INT/LIT", b"", 1), (b"A_DTS", b"", 2),
])  # fmt: skip
def test_packets_without_sound_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: bytes, private: bytes, tracks: int
) -> None:
    """Of sixty thousand packets none that is read behind the first few can bring anything."""
    path, read = tmp_path / "a.mkv", 0
    path.write_bytes(matroska(codec, tracks, private))
    original = decoder.Packets.__iter__

    def counted(packets: decoder.Packets) -> Iterator[object]:
        nonlocal read
        for packet in original(packets):
            read += 1
            yield packet

    monkeypatch.setattr(decoder, "MOST_SILENT", 500)
    monkeypatch.setattr(decoder.Packets, "__iter__", counted)
    with pytest.raises(AudioError):
        decode.probe(path, "a.mkv")
    assert read <= 501 * (tracks + 1)


def test_work_that_takes_too_long_ends_and_the_next_one_has_its_own_time() -> None:
    def endless() -> Steps[str]:
        yield 0.1
        while True:
            with suppress(Exception):  # as a reader would, that takes it for damage
                sum(range(1000))

    def short() -> Steps[str]:
        for done in range(20):
            yield done / 20
        return "done"

    budget = CpuBudget(0.2)
    for _ in range(2):
        with pytest.raises(AudioError, match="too long"):
            finish(budget.run(endless()))
        assert finish(budget.run(short())) == "done"


def test_what_fails_by_itself_fails_as_ever_and_work_may_be_given_up() -> None:
    closed = []

    def broken() -> Steps[str]:
        yield 0.5
        raise LookupError("broken")

    def patient() -> Steps[str]:
        try:
            yield 0.5
            yield 1.0
        finally:
            closed.append(True)
        return ""

    with pytest.raises(LookupError, match="broken"):
        finish(CpuBudget(5.0).run(broken()))
    steps = CpuBudget(5.0).run(patient())
    next(steps)
    steps.close()
    assert closed == [True]


def test_the_kernel_has_a_clock_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a process that lives long the other one may be minutes behind it."""
    monkeypatch.setattr("time.process_time", lambda: 0.0)
    limits: list[float] = []

    def steps() -> Steps[None]:
        limits.append(resource.getrlimit(resource.RLIMIT_CPU)[0] - time.clock_gettime(-8))
        yield 1.0

    while time.clock_gettime(-8) < 2:
        pass
    finish(within_cpu(steps(), 1000.0))
    finish(CpuBudget(1000.0).run(steps()))
    assert min(limits) > 999


def test_what_never_comes_back_from_a_library_is_ended_by_the_kernel() -> None:
    script = """
import hashlib
from server.audio import budget
from server.work.steps import finish
budget.SPARE = 1
def stuck():
    yield 0.0
    hashlib.pbkdf2_hmac("sha256", b"x", b"y", 2_000_000_000)
    return "never"
finish(budget.CpuBudget(0.2).run(stuck()))
"""
    ended = subprocess.run([sys.executable, "-c", script], timeout=120, check=False)
    assert ended.returncode < 0, "by a signal"
