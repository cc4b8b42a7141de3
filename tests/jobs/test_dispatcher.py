"""What becomes of stages when workers answer, fail, die or share their death."""

import asyncio
import math
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from server import errors
from server.jobs import attempts
from server.jobs import dispatcher as dispatcher_module
from server.jobs.disk.folders import Folders
from server.jobs.disk.room import DiskRoom, with_room
from server.jobs.dispatcher import Dispatcher
from server.jobs.plan import PIPELINE, shown_stages
from server.tracks import track_path
from server.work.messages import FinishedTrack, Options, Result, Task
from store import Database, JobRepository, Track
from tests.store.conftest import new_job

OPTIONS = msgspec.json.encode(Options(
    file_name="a.wav", model="m", overlap=0.25, wav_format="PCM_16", target_lufs=-14,
    true_peak_dbtp=-1, max_seconds=60)).decode()
Behaviour = Callable[[Task, int], "Result | Exception | float"]


class PretendedSlot:
    def __init__(self, crew: "PretendedWorkers", pool: str) -> None:
        self._crew, self._pool, self._held = crew, pool, True
        self.must_be_due_before = math.inf
        self.worker = type("W", (), {"hello": type("H", (), {"worker": f"{pool}-0"})})
        crew.busy[pool] += 1

    def release(self) -> None:
        self._crew.busy[self._pool] -= self._held
        self._held = False

    async def run(self, task: Task, watch: Callable[[float], None]) -> Result:
        self._held = False
        self._crew.runs[task.job, task.stage] += 1
        self._crew.together[task.job] = max(self._crew.together[task.job],
                                            self._crew.busy[self._pool])
        try:
            await asyncio.sleep(0.001)
            answer = self._crew.behave(task, self._crew.runs[task.job, task.stage])
            if isinstance(answer, float):
                await asyncio.sleep(answer)
                answer = fine(task, 1)
            if isinstance(answer, Exception):
                raise answer
            return answer
        finally:
            self._crew.busy[self._pool] -= 1
            self._crew.wake()


class PretendedWorkers:
    """Places without processes: `behave(task, run)` says how each run ends."""

    def __init__(self, behave: Behaviour) -> None:
        self.behave = behave
        self.busy: Counter = Counter()
        self.runs: Counter = Counter()
        self.together: Counter = Counter()
        self.wake: Callable[[], None] = lambda: None

    def listen(self, callback: Callable[[], None]) -> None:
        self.wake = callback

    def try_reserve(self, pool: str, alone: bool = False) -> PretendedSlot | None:
        if self.busy[pool] >= (1 if alone else 3):
            return None
        return PretendedSlot(self, pool)


def play(
    behave: Behaviour, jobs_wanted: int = 1, stop_after: float | None = None, fast: bool = False
):
    """Runs jobs to their end (or for a while); returns the jobs and the pretended workers."""
    async def main(folder: Path):
        folders = Folders(folder, folder if fast else None)
        folders.create()
        async with Database(folder / "t.db") as database:
            jobs, crew = JobRepository(database), PretendedWorkers(behave)
            dispatcher = Dispatcher(
                jobs.stages, crew, folders, DiskRoom(jobs.rooms, folders, 0), max_attempts=3
            )
            for i in range(jobs_wanted):
                (folders.scratch / f"j{i}").mkdir()
                (folders.outputs / f"j{i}").mkdir()
                job = new_job(f"j{i}", float(i), PIPELINE, OPTIONS, request='{"seconds": 1.0}')
                await jobs.create(with_room(job, 1.0) if OPTIONS != "{}" else job)
            loop = asyncio.create_task(dispatcher.run())
            dispatcher.wake()
            if stop_after is None:
                async with asyncio.timeout(30):
                    while await jobs.count_unfinished():
                        await asyncio.sleep(0.005)
                    await asyncio.sleep(0.05)
            else:
                await asyncio.sleep(stop_after)
            loop.cancel()
            await asyncio.gather(loop, return_exceptions=True)
            assert not any(crew.busy.values()), "every place was given back"
            found = [await jobs.get(f"j{i}") for i in range(jobs_wanted)]
            return found, crew, {path.name for path in folders.scratch.iterdir()}

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(main(Path(folder)))


def fine(task: Task, run: int) -> Result:
    track = {"encode_stems": "vocals", "harmonic_percussive": "harmonic", "normalise": "main"}.get(
        task.stage)  # fmt: skip
    tracks = {track: FinishedTrack(track_path(track), 1, 2)} if track else {}
    return Result(task.id, {"frames": 1}, tracks)


def test_every_stage_runs_once() -> None:
    jobs, crew, scratch = play(fine, jobs_wanted=12)
    assert {job.state for job in jobs} == {"completed"}
    assert jobs[0].tracks.keys() == {"vocals", "harmonic", "main"}
    assert jobs[0].tracks["main"] == Track("composite/main.wav", 1, 2)
    assert set(crew.runs.values()) == {1}
    assert len(crew.runs) == 12 * len(PIPELINE)
    assert scratch == set()


@pytest.mark.parametrize(("track", "path"), [
    ("main", "../../secret"), ("main", "/etc/passwd"), ("main", "composite/other.wav"),
    ("main", "composite/../composite/main.wav"), ("mix", "demucs_output/mix.wav"),
    ("anything", "demucs_output/anything.wav"), ("main", "main.wav"),
])  # fmt: skip
def test_a_worker_cannot_have_other_files_served(track: str, path: str) -> None:
    """A decoder that its file took over says where its tracks lie."""
    jobs, crew, _ = play(
        lambda task, run: Result(task.id, {"frames": 1}, {track: FinishedTrack(path, 32, 0)})
        if task.stage == "normalise" else fine(task, run))
    assert jobs[0].state == "failed" and track not in jobs[0].tracks
    assert crew.runs["j0", "normalise"] == 3


def test_bad_input_fails_at_once_with_its_sentence() -> None:
    jobs, crew, scratch = play(
        lambda task, run: errors.AudioError("No sound in it") if task.stage == "decode"
        else fine(task, run))
    assert (jobs[0].state, jobs[0].error) == ("failed", "No sound in it")
    assert crew.runs == {("j0", "decode"): 1}
    shown = shown_stages(jobs[0])
    assert [stage.state for stage in shown] == ["failed", "pending", "pending", "pending"]
    assert shown[0].error == "No sound in it"
    assert scratch == set()


def test_three_deaths_are_enough() -> None:
    jobs, crew, _ = play(
        lambda task, run: errors.WorkerLost("died") if task.stage == "harmonic_percussive"
        else fine(task, run))
    assert jobs[0].state == "failed"
    assert "3 times" in jobs[0].error
    assert crew.runs["j0", "harmonic_percussive"] == 3


def test_two_deaths_are_survived() -> None:
    jobs, crew, _ = play(
        lambda task, run: errors.WorkerLost("died") if task.stage == "separate" and run < 3
        else fine(task, run))
    assert jobs[0].state == "completed"
    assert crew.runs["j0", "separate"] == 3


def test_mates_of_a_killer_complete_and_are_not_charged() -> None:
    """j1 kills every worker it meets. While that is not known, the others die with it."""
    stage = "separate"

    def behave(task: Task, run: int):
        if task.stage != stage:
            return fine(task, run)
        if task.job == "j1":
            return errors.WorkerLost("died", alone=run > 1)
        return errors.WorkerLost("died", alone=False) if run == 1 else fine(task, run)

    jobs, crew, _ = play(behave, jobs_wanted=3)
    assert [job.state for job in jobs] == ["completed", "failed", "completed"]
    assert crew.runs["j1", stage] == 4, "one among others and three alone"
    attempts = {job.id: {s.name: s.attempt for s in job.stages}[stage] for job in jobs}
    assert attempts["j0"] == attempts["j2"] == 1


class Booking:
    """Stages whose ends are booked when the test says so."""

    def __init__(self) -> None:
        self.failing, self.releasing = asyncio.Event(), asyncio.Event()

    async def fail(self, *arguments: object) -> bool:
        await self.failing.wait()
        return False

    async def release(self, *arguments: object, **named: object) -> None:
        await self.releasing.wait()


@pytest.mark.parametrize("stopped", [True, False])
def test_nobody_is_suspected_who_never_runs_again(tmp_path: Path, stopped: bool) -> None:
    """For as long as somebody is, each song is separated alone."""

    async def stop(job_id: str) -> None: ...

    async def main() -> None:
        stages, folders = Booking(), Folders(tmp_path)
        made = attempts.Attempts(stages, folders, None, 3, stop, lambda: None)  # type: ignore[arg-type]
        job = new_job("j", 1.0, PIPELINE, OPTIONS)
        claim: Any = SimpleNamespace(job=job, stage=SimpleNamespace(late=False))
        failing = asyncio.create_task(made._fail(claim, "no sound"))
        lost = asyncio.create_task(made._lost(claim, errors.WorkerLost("died", alone=False)))
        while not made.suspects:
            await asyncio.sleep(0)
        if stopped:
            lost.cancel()
        else:
            stages.releasing.set()
        await asyncio.gather(lost, return_exceptions=True)
        assert made.suspects == (set() if stopped else {"j"})
        stages.failing.set()
        await failing
        assert made.suspects == set()

    asyncio.run(main())


@pytest.mark.parametrize(("size", "crc"), [(-1, 0), (1 << 63, 0), (1, -1), (1, 1 << 32)])
def test_a_file_that_cannot_be_fails_the_stage(
    monkeypatch: pytest.MonkeyPatch, size: int, crc: int
) -> None:
    """The database would refuse it, again and again."""
    monkeypatch.setattr(attempts, "RETRY_PAUSE", 0.01)
    jobs, crew, _ = play(
        lambda task, run: Result(task.id, {}, {"main": FinishedTrack(
            track_path("main"), size, crc)}) if task.stage == "normalise" else fine(task, run))
    assert jobs[0].state == "failed" and crew.runs["j0", "normalise"] == 3


@pytest.mark.parametrize("told", ["wav", {"format": 1}, {"format": "WAV", "warnings": "none"}])
def test_what_is_told_of_a_source_is_of_its_kind(
    monkeypatch: pytest.MonkeyPatch, told: object
) -> None:
    """Whoever looks at the job would fail at it, and so would its webhooks."""
    monkeypatch.setattr(attempts, "RETRY_PAUSE", 0.01)
    jobs, crew, _ = play(
        lambda task, run: Result(task.id, {"frames": 1, "input": told})
        if task.stage == "decode" else fine(task, run))
    assert jobs[0].state == "failed" and crew.runs["j0", "decode"] == 3


@pytest.mark.parametrize("fact", [b"bytes", math.nan, [math.inf], {1, 2}], ids=repr)
def test_facts_that_cannot_be_kept_fail_the_stage(
    monkeypatch: pytest.MonkeyPatch, fact: object
) -> None:
    """A decoder that a file took over may say anything."""
    monkeypatch.setattr(attempts, "RETRY_PAUSE", 0.01)

    def behave(task: Task, run: int):
        odd = {"peak": fact} if task.stage == "separate" else {}
        return Result(task.id, {"frames": 1} | odd)

    jobs, crew, _ = play(behave)
    assert jobs[0].state == "failed" and jobs[0].error.endswith("3 times and was given up")
    assert crew.runs["j0", "separate"] == 3


def test_a_failed_job_stops_its_other_stages() -> None:
    def behave(task: Task, run: int):
        if task.stage == "separate":
            return errors.AudioError("no")
        return 60.0 if task.stage == "harmonic_percussive" else fine(task, run)

    jobs, _, scratch = play(behave)
    assert jobs[0].state == "failed"
    assert scratch == set()


def test_a_worker_that_was_gone_costs_no_attempt() -> None:
    jobs, _, _ = play(
        lambda task, run: errors.WorkerGone("gone") if task.stage == "separate" and run < 6
        else fine(task, run))
    assert jobs[0].state == "completed"
    assert {s.name: s.attempt for s in jobs[0].stages}["separate"] == 1


def test_options_that_cannot_be_read_fail_the_job_and_free_the_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attempts, "RETRY_PAUSE", 0.01)
    monkeypatch.setattr(f"{__name__}.OPTIONS", "{}")
    jobs, crew, _ = play(fine, jobs_wanted=4)
    assert {job.state for job in jobs} == {"failed"}
    assert not crew.runs


def test_an_offered_job_has_begun_when_a_worker_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher_module, "PASS_SECONDS", 20)

    async def main() -> None:
        folders = Folders(tmp_path)
        folders.create()
        async with Database(tmp_path / "t.db") as database:
            jobs = JobRepository(database)
            crew = PretendedWorkers(lambda task, run: 60.0)
            dispatcher = Dispatcher(
                jobs.stages, crew, folders, DiskRoom(jobs.rooms, folders, 0), max_attempts=3
            )
            loop = asyncio.create_task(dispatcher.run())
            for i in range(4):  # three places in the pool
                await jobs.create(new_job(f"j{i}", float(i), PIPELINE, OPTIONS))
                await dispatcher.wake_and_wait()
                state = shown_stages(await jobs.get(f"j{i}"))[0].state
                assert state == ("processing" if i < 3 else "pending")
            loop.cancel()
            await asyncio.gather(loop, return_exceptions=True)

    asyncio.run(main())
