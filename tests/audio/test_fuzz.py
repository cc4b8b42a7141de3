"""Mutated files of every format: an error of ours or a finite mix, no crash, bounded memory."""

import ast
import resource
import subprocess
import sys
from pathlib import Path

from server.audio.sources.sniffing import SUPPORTED_FORMATS

from . import mutations
from .making import song, write_sound
from .test_decode import write

MUTATIONS = 400
MEMORY = 1 << 30
CPU_SECONDS = 120


def limit() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))


def test_mutated_files_never_crash_the_process(tmp_path: Path) -> None:
    for kind in SUPPORTED_FORMATS:
        write(tmp_path / f"seed.{kind}", kind, song(0.4))
    write_sound(tmp_path / "seed.six", song(0.2).repeat(3, axis=1), format="WAVEX")
    root = Path(mutations.__file__).parents[2]
    process = subprocess.run(
        [sys.executable, "-W", "error", mutations.__file__, str(tmp_path), "1", str(MUTATIONS)],
        cwd=root, env={"PYTHONPATH": str(root)}, preexec_fn=limit, capture_output=True, text=True,
    )  # fmt: skip
    number = (tmp_path / "number").read_text()
    assert process.returncode == 0, f"mutation {number}: {process.stderr[-2000:]}"
    found = ast.literal_eval(process.stdout)
    assert sum(found.values()) == MUTATIONS
    assert found.keys() <= {"decoded", "AudioError", "UnsupportedFormat", "AudioTooLong"}
    assert found["decoded"] > MUTATIONS // 10  # else the mutations would test the sniffing alone
    assert found["AudioError"] + found["UnsupportedFormat"] > MUTATIONS // 20
