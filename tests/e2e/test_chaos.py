"""Kills at random instants, any process, under load: every accepted job ends well.

The short run is part of every test run; `make chaos` runs the long one.
"""

import os
import random
import signal
import time
from pathlib import Path

import httpx
import psutil
import pytest

from server.upkeep import commands
from tests.harness import Server, serving, wait_for


def post(server: Server, song: Path) -> str | None:
    """A job's id, or None when the server was down at that moment."""
    try:
        answer = server.post(song, song.name)
    except httpx.TransportError:
        return None
    return answer.json()["job_id"] if answer.status_code == 200 else None


def kill_one(server: Server, chance: random.Random) -> None:
    """Any process of the group; a dead parent is started again, as a service manager would."""
    try:
        victim = chance.choice(server.processes())
        os.kill(victim.pid, signal.SIGKILL)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return
    time.sleep(chance.uniform(0.2, 3))
    try:
        server.process.wait(timeout=2)
    except Exception:
        return
    server.start(ready=False)


def chaos(data: Path, song: Path, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    fast = data.with_name("fast")
    fast.mkdir()
    with serving(data, jobs__stall_seconds=10, jobs__max_attempts=50,
                 server__scratch_dir=fast) as server:
        accepted = [job for _ in range(3) if (job := post(server, song))]
        for _ in range(kills):
            kill_one(server, chance)
            if len(accepted) < 3 + kills / 4 and (job := post(server, song)):
                accepted.append(job)
        if server.process.poll() is not None:
            server.start(ready=False)
        wait_for(server.healthy)
        reference = post(server, song)
        ends = [server.end_of(job) for job in accepted]
        assert {end["status"] for end in ends} == {"completed"}
        tracks = server.end_of(reference)["outputs"]
        for end in ends:
            assert list(end["outputs"]) == list(tracks)
            for name, path in end["outputs"].items():
                assert Path(path).read_bytes() == Path(tracks[name]).read_bytes(), (
                    "outputs equal a fault-free run's")
        wait_for(lambda: not list((data / "scratch").iterdir()) + list(fast.glob("*/jobs/*")))
        assert not list((data / "outputs").rglob("*.part"))
        left = {path.name for path in (data / "outputs").iterdir()}
        assert left == {*accepted, reference}
        assert not [p for p in server.processes() if p.status() == psutil.STATUS_ZOMBIE]
        assert commands.findings(data, lambda name, done: None) == []


def test_a_few_kills(tmp_path: Path, songs: dict[str, Path]) -> None:
    chaos(tmp_path / "data", songs["wav"], kills=5, seed=7)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(4))
def test_many_kills(tmp_path: Path, songs: dict[str, Path], seed: int) -> None:
    chaos(tmp_path / "data", songs["wav"], kills=50, seed=seed)
