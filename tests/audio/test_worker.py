"""The worker: its table of stages, its limit of memory, the end of a decoder that crashes."""

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import pytest
import structlog

from server.audio.looking import ProbeWorker
from server.audio.stage_worker import log_failure
from server.audio.worker import AudioWorker
from server.work.steps import finish

from .making import song, write_sound
from .test_stages import task

ROOT = Path(__file__).parents[2]


def in_process(script: str, *arguments: object) -> str:
    """Runs a script in a process of its own (limits cannot be taken back); its output."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_an_unknown_stage_is_a_defect_with_a_name(tmp_path: Path) -> None:
    for kind, stage in ((AudioWorker, "separate"), (ProbeWorker, "decode")):
        worker = kind.__new__(kind)  # without the limits of the constructor
        with pytest.raises(LookupError, match=f"the {kind.pool} pool has no stage '{stage}'"):
            finish(worker.begin(task(tmp_path, stage)))


def test_a_probe_worker_looks_at_uploads() -> None:
    out = in_process(
        """
        from server.audio.looking import ProbeWorker
        from server.config import load

        worker = ProbeWorker(load(environ={}))
        print(worker.hello("probe-0", 7).pool, list(worker.stages))
        """
    )
    assert out == "probe ['probe']\n"


def test_a_worker_of_the_least_memory_runs_every_stage(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    write_sound(tmp_path / "scratch" / "input", song(5), format="MP3")
    (tmp_path / "task").write_bytes(msgspec.json.encode(task(tmp_path, "")))
    in_process(
        """
        import sys, msgspec
        from pathlib import Path
        from msgspec.structs import replace
        from server.audio.worker import AudioWorker
        from server.config import load
        from server.work.messages import Task
        from server.work.steps import finish

        worker = AudioWorker(load(environ={}, flags={"audio.memory_mb": 256}))
        assert worker.hello("audio-0", 7).in_turns
        task = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Task)
        facts = {}
        for stage in (
            "probe", "measure", "decode", "harmonic_percussive", "compose", "normalise",
            "encode/mix", "describe",
        ):
            facts.setdefault("peak", 1.0)
            result = finish(worker.begin(replace(task, stage=stage, facts=facts)))
            facts |= result.facts
        """,
        tmp_path / "task",
    )
    names = {path.name for path in (tmp_path / "outputs" / "composite").iterdir()}
    assert names == {"main.wav", "main_harmonic.wav", "main_percussive.wav"}


def test_memory_beyond_the_limit_is_refused() -> None:
    out = in_process(
        """
        import numpy as np
        from server.audio.stage_worker import limit_process

        limit_process(256)
        np.ones(100 << 17)  # 100 MiB
        try:
            np.ones(300 << 17)
        except MemoryError:
            print("refused")
        """
    )
    assert out == "refused\n"


def test_input_that_needs_too_much_memory_is_at_fault_itself(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "input", song(5), format="FLAC")
    out = in_process(
        """
        import sys
        from pathlib import Path
        from server.audio import decode
        from server.audio.sources.decoding import frames
        from server.errors import AudioError
        from server.work.steps import finish

        def greedy(frame):
            raise MemoryError

        frames._to_float = greedy
        try:
            finish(decode.decode(Path(sys.argv[1]), Path(sys.argv[1] + ".f32"), 60))
        except AudioError as error:
            print(error.message)
        """,
        path,
    )
    assert out == "The audio needs too much memory to be decoded\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["input"]


def test_a_step_that_never_ends_ends_its_process() -> None:
    """In a decoder's own code no budget of ours is looked at, and no signal handler runs."""
    out = in_process(
        """
        import os, resource, signal
        from server.audio.budget import within_cpu

        def steps(spin):
            for _ in range(3):
                total = sum(range(10**6))  # some time, but less than a step may take
                yield 0.5
            if spin:
                sum(range(10**12))
            return "done"

        def drive(spin):
            run = within_cpu(steps(spin), 1)
            try:
                while True:
                    next(run)
            except StopIteration as end:
                return end.value

        assert drive(False) == "done"
        assert resource.getrlimit(resource.RLIMIT_CPU)[0] == resource.RLIM_INFINITY
        child = os.fork()
        if not child:
            drive(True)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.WTERMSIG(status) == signal.SIGXCPU)
        """
    )
    assert out == "True\n"


def test_a_song_whose_files_went_with_its_job_is_no_error(tmp_path: Path) -> None:
    """As in the separation: who cancels a job removes its files before its workers know."""
    for name in ("there", "gone"):
        (tmp_path / name).mkdir()
    there, gone = task(tmp_path / "there", "decode"), task(tmp_path / "gone", "decode")
    shutil.rmtree(gone.scratch)
    mix = msgspec.structs.replace(gone, scratch="", outputs=gone.scratch)  # a render has no scratch
    missing = FileNotFoundError(2, "gone", "/x")
    with structlog.testing.capture_logs() as logs:
        for about, error in ((gone, missing), (mix, missing), (there, missing),
                             (gone, RuntimeError("a fault"))):  # fmt: skip
            log_failure(about, error)
    assert [line["log_level"] for line in logs] == ["info", "info", "error", "error"]
