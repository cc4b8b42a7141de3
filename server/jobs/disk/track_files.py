"""The files of finished tracks, and what they hold: told by who wrote them, else read once."""

import asyncio
import zlib
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from msgspec import Struct, structs

from store import JobRepository

CHUNK = 1 << 20  # bytes
AT_ONCE = 2  # files that are read at the same time, of all jobs


class TrackFile(Struct, frozen=True):
    """A finished track's file; its bytes and their CRC-32 as it was written, None: not known."""

    path: Path
    size: int | None = None
    crc: int | None = None


class Checksums:
    """Finds out what tracks hold that were written before that was kept, once for each job."""

    def __init__(self, jobs: JobRepository) -> None:
        self._jobs = jobs
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._running: dict[str, asyncio.Task[dict[str, TrackFile]]] = {}

    async def complete(
        self, job_id: str, files: Mapping[str, TrackFile]
    ) -> Mapping[str, TrackFile]:
        """A job's tracks with sizes and CRC-32, which are stored.

        What has begun is brought to its end even if the caller is cancelled.

        Raises:
            OSError: a file is gone, or cannot be read.
        """
        unknown = {name: file for name, file in files.items() if file.crc is None}
        if not unknown:
            return files
        task = self._running.get(job_id)
        if task is None:
            task = self._running[job_id] = asyncio.create_task(self._sum_up(job_id, unknown))
            task.add_done_callback(partial(self._forget, job_id))
        return {**files, **await asyncio.shield(task)}

    async def _sum_up(self, job_id: str, files: dict[str, TrackFile]) -> dict[str, TrackFile]:
        summed = {}
        for name, file in files.items():
            async with self._turns:
                size, crc = await asyncio.to_thread(_contents, file.path)
            summed[name] = structs.replace(file, size=size, crc=crc)
            with suppress(OSError):  # a full disk: it will be found out again
                await self._jobs.sum_up(job_id, name, size, crc)
        return summed

    def _forget(self, job_id: str, task: asyncio.Task[dict[str, TrackFile]]) -> None:
        del self._running[job_id]
        if not task.cancelled():
            task.exception()  # it was told to who still waited


def _contents(path: Path) -> tuple[int, int]:
    """A file's bytes, and their CRC-32."""
    size = crc = 0
    with path.open("rb", buffering=0) as file:
        while data := file.read(CHUNK):
            size += len(data)
            crc = zlib.crc32(data, crc)
    return size, crc
