"""Mutated files of every format: an error of ours or a finite mix, no crash, bounded memory."""

import ast
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from server.audio.sources.sniffing import SUPPORTED_FORMATS

from . import mutations
from .making import song, write_sound
from .sources.coded import ac3, bursts, dts, fourteen
from .sources.reading import chunk, form
from .writing import write

MUTATIONS = 700
MEMORY = 1 << 30
CPU_SECONDS = 120


def limit() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))


def odd_files(folder: Path) -> dict[str, bytes]:
    """Files of every reader of ours, with the headers that are read with the most care."""
    sound = song(0.2)

    def made(format: str, subtype: str | None = None, channels: int = 2, endian: str = "") -> bytes:
        samples = sound.repeat(channels // 2, axis=1)
        return write_sound(
            folder / "made", samples, format=format, subtype=subtype, endian=endian or None
        ).read_bytes()

    mp3 = made("MP3")
    tag = b"ID3\4\0\0\0\0\1\0" + bytes(99)
    dca, words = dts(12), bursts(ac3(song(0.5), 48000, 192), 1, 1536)
    fmt = made("WAV")[20:36]
    return {
        "six": made("WAVEX", channels=6), "rifx": made("WAV", endian="BIG"),
        "rf64": made("RF64", "PCM_24"), "w64": made("W64"), "sowt": made("AIFF", endian="LITTLE"),
        "fl64": made("AIFF", "DOUBLE"), "ulaw": made("AU", "ULAW"), "caf": made("CAF", "FLOAT"),
        "adpcm": made("WAV", "MS_ADPCM"), "joined": tag + mp3 + b"TAG" + bytes(125) + tag + mp3,
        "dts": dca, "dts14": fourteen(dca),
        "posing": form(b"RIFF", b"WAVE", chunk(b"fmt ", fmt) + chunk(b"data", bytes(2000) + dca)),
        "bursts": form(b"RIFF", b"WAVE", chunk(b"fmt ", fmt) + chunk(b"data", words)),
        "mp3wav": form(b"RIFF", b"WAVE", chunk(b"fmt ", b"\x55" + fmt[1:]) + chunk(b"data", mp3)),
    }  # fmt: skip


def ends(folder: Path, *how: object) -> dict[str, int]:
    """What becomes of files of every format, by kind of end."""
    for kind in SUPPORTED_FORMATS:
        write(folder / f"seed.{kind}", kind, song(0.4))
    for name, data in odd_files(folder).items():
        (folder / f"seed.{name}").write_bytes(data)
    root = Path(mutations.__file__).parents[2]
    process = subprocess.run(
        [sys.executable, "-W", "error", mutations.__file__, str(folder), *map(str, how)],
        cwd=root, env={"PYTHONPATH": str(root)}, preexec_fn=limit, capture_output=True, text=True,
    )  # fmt: skip
    number = (folder / "number").read_text()
    assert process.returncode == 0, f"mutation {number}: {process.stderr[-2000:]}"
    found: dict[str, int] = ast.literal_eval(process.stdout)
    assert found.keys() <= {"decoded", "AudioError", "UnsupportedFormat", "AudioTooLong"}
    return found


def test_mutated_files_never_crash_the_process(tmp_path: Path) -> None:
    found = ends(tmp_path, 1, MUTATIONS)
    assert sum(found.values()) == MUTATIONS
    assert found["decoded"] > MUTATIONS // 10  # else the mutations would test the sniffing alone
    assert found["AudioError"] + found["UnsupportedFormat"] > MUTATIONS // 20


def cuts(folder: Path, step: int) -> None:
    found = ends(folder, "cut", step)
    files = len(list(folder.glob("seed.*")))
    print(f"{files} containers: {found}")
    assert sum(found.values()) == files * len(range(0, 100, step))
    assert found["decoded"] > files * 50 / step  # half of them: players want what there is
    assert found["AudioError"] + found["UnsupportedFormat"] >= files  # of no byte at least


def test_files_that_end_anywhere_never_crash_the_process(tmp_path: Path) -> None:
    cuts(tmp_path, 17)


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_files_that_end_at_every_percent_never_crash_the_process(tmp_path: Path) -> None:
    cuts(tmp_path, 1)
