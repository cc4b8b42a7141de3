"""What tracks hold that were written before that was kept: read once, stored, and no more."""

import asyncio
import sqlite3
import threading
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from server.jobs.disk import track_files as module
from server.jobs.disk.track_files import Checksums, TrackFile
from store import Database, JobRepository, Track
from store.migrations import available
from tests.store.conftest import PLAN, new_job

SOUNDS = {"vocals": b"la" * 700_000, "drums": b"boom", "bass": b""}


def play(folder: Path, test: Callable[..., Awaitable[None]]) -> None:
    """A completed job whose tracks are on disk, and of which only the bass is summed up."""

    async def main() -> None:
        async with Database(folder / "t.db") as database:
            jobs = JobRepository(database)
            await jobs.create(new_job("a", 1.0, PLAN[:1]))
            stage = (await jobs.stages.claim("audio", "b/1", 1.0)).stage
            tracks = {name: Track(f"{name}.wav") for name in SOUNDS}
            tracks["bass"] = Track("bass.wav", 7, 8)
            await jobs.stages.finish(stage, {}, tracks, 2.0)
            for name, sound in SOUNDS.items():
                (folder / f"{name}.wav").write_bytes(sound)
            await test(jobs, await files_of(jobs, folder))

    asyncio.run(main())


async def files_of(jobs: JobRepository, folder: Path) -> dict[str, TrackFile]:
    tracks = (await jobs.get("a")).tracks
    return {name: TrackFile(folder / t.path, t.size, t.crc) for name, t in tracks.items()}


def summed(folder: Path) -> dict[str, TrackFile]:
    files = {
        name: TrackFile(folder / f"{name}.wav", len(sound), zlib.crc32(sound))
        for name, sound in SOUNDS.items()
    }
    return files | {"bass": TrackFile(folder / "bass.wav", 7, 8)}


def test_what_is_not_known_is_read_once_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, contents = [], module._contents

    def watched(path: Path) -> tuple[int, int]:
        read.append((path.stem, threading.current_thread() is threading.main_thread()))
        return contents(path)

    monkeypatch.setattr(module, "_contents", watched)

    async def test(jobs: JobRepository, files: dict[str, TrackFile]) -> None:
        checksums = Checksums(jobs)
        found = await asyncio.gather(*(checksums.complete("a", files) for _ in range(5)))
        assert found == [summed(tmp_path)] * 5
        assert sorted(read) == [("drums", False), ("vocals", False)], "once, off the event loop"
        stored = await files_of(jobs, tmp_path)
        assert stored == summed(tmp_path)
        assert await checksums.complete("a", stored) == stored
        assert len(read) == 2

    play(tmp_path, test)


def test_who_goes_away_stops_nobody(tmp_path: Path) -> None:
    async def test(jobs: JobRepository, files: dict[str, TrackFile]) -> None:
        checksums = Checksums(jobs)
        first = asyncio.create_task(checksums.complete("a", files))
        second = asyncio.create_task(checksums.complete("a", files))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == summed(tmp_path)

    play(tmp_path, test)


def test_a_file_that_is_gone_is_said_and_not_remembered(tmp_path: Path) -> None:
    async def test(jobs: JobRepository, files: dict[str, TrackFile]) -> None:
        checksums = Checksums(jobs)
        (tmp_path / "drums.wav").unlink()
        for _ in range(2):
            with pytest.raises(FileNotFoundError):
                await checksums.complete("a", files)
        (tmp_path / "drums.wav").write_bytes(SOUNDS["drums"])
        assert await checksums.complete("a", files) == summed(tmp_path)

    play(tmp_path, test)


def test_what_was_told_by_the_writer_is_not_overwritten(tmp_path: Path) -> None:
    async def test(jobs: JobRepository, _: object) -> None:
        await jobs.sum_up("a", "bass", 1, 1)
        await jobs.sum_up("nobody", "bass", 1, 1)
        assert (await jobs.get("a")).tracks["bass"] == Track("bass.wav", 7, 8)

    play(tmp_path, test)


def test_tracks_of_an_older_database_are_kept(tmp_path: Path) -> None:
    """A database that was filled before contents were kept opens with all it had."""
    connection = sqlite3.connect(tmp_path / "t.db", isolation_level=None)
    for number, sql in available():
        if number <= 3:
            connection.executescript(f"{sql}; PRAGMA user_version = {number};")
    connection.execute("INSERT INTO jobs (id, api, state, options, created_at) "
                       "VALUES ('a', 'pipeline', 'completed', '{}', 1)")
    connection.executemany("INSERT INTO tracks VALUES ('a', ?, ?)",
                           [(name, f"{name}.wav") for name in SOUNDS])
    connection.close()

    async def main() -> None:
        async with Database(tmp_path / "t.db") as database:
            jobs = JobRepository(database)
            assert (await jobs.get("a")).tracks == {n: Track(f"{n}.wav") for n in SOUNDS}
            for name, sound in SOUNDS.items():
                (tmp_path / f"{name}.wav").write_bytes(sound)
            await Checksums(jobs).complete("a", await files_of(jobs, tmp_path))
            assert (await jobs.get("a")).tracks["bass"] == Track("bass.wav", 0, 0)

    asyncio.run(main())
