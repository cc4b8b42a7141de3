"""Downloads of sources that are under way: begun for an answer, ended there or in the background.

Knows no database: whose job has ended is for others to say.
"""

import asyncio
import os
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from server.audio.sources.sniffing import suffix_of
from server.config import Config
from server.errors import Unreachable
from server.jobs.disk.folders import full_disk_is_said
from server.jobs.orders import Request
from server.net import DownloadLimits
from server.work.durable import sync_folder
from server.work.scratch import part_of

NOW_SECONDS: Final = 5.0  # for a source that is fetched before the answer; slower ones come later


class Downloaded(Protocol):
    """What a download tells: its size, its name by the source, and by the URL at the end."""

    @property
    def size_bytes(self) -> int: ...

    @property
    def file_name(self) -> str | None: ...

    @property
    def url_name(self) -> str | None: ...


class Client(Protocol):
    """The guarded HTTP client, as far as it is needed here."""

    async def download(self, url: str, target: Path, limits: DownloadLimits) -> Downloaded: ...


class Sources:
    """The downloads of one server, by their jobs' ids.

    A job's folder may be moved to another place while its source comes.
    """

    def __init__(self, config: Config, client: Client) -> None:
        self._client = client
        self._limits = DownloadLimits(
            config.limits.max_upload_mb << 20, config.fetch.timeout_s, config.fetch.total_timeout_s
        )
        self._downloads: dict[str, asyncio.Task[Downloaded]] = {}

    async def try_now(self, job_id: str, request: Request, folder: Path) -> Request | None:
        """Fetches the source to `folder/input`, if that takes a few seconds.

        Else None: then it goes on until somebody fetches or stops it. Raises as `fetch`.
        """
        task = self._begin(job_id, request, folder)
        done, _ = await asyncio.wait([task], timeout=NOW_SECONDS)
        return await self.fetch(job_id, request, folder) if done else None

    async def fetch(self, job_id: str, request: Request, folder: Path) -> Request:
        """Fetches the source to `folder/input`, or waits for what has begun to.

        Returns what is known then, without its URL. If it is cancelled, so is the download.

        Raises:
            AddressForbidden, Unreachable, FileTooLarge, DiskFull.
        """
        task = self._downloads.get(job_id) or self._begin(job_id, request, folder)
        part = part_of(folder / "input")
        try:
            with full_disk_is_said():
                found = await task
                await asyncio.to_thread(_keep, part, folder / "input")
        except BaseException:
            part.unlink(missing_ok=True)  # where it was begun, it may not be any more
            raise
        finally:
            self._downloads.pop(job_id, None)
        name = request.file_name if request.named else _name(request.file_name, found)
        # Where it came from may hold a secret, and nobody needs it any more.
        return msgspec.structs.replace(
            request, size_bytes=found.size_bytes, file_name=name, source_url=None
        )

    async def stop(self, job_id: str) -> None:
        """Stops a job's download, if there is one."""
        if task := self._downloads.pop(job_id, None):
            await stop_tasks([task])

    async def stop_all(self) -> None:
        """Stops every download."""
        await stop_tasks([*self._downloads.values()])
        self._downloads.clear()

    def _begin(self, job_id: str, request: Request, folder: Path) -> asyncio.Task[Downloaded]:
        if request.source_url is None:  # it was fetched, and its file is gone
            raise Unreachable("The source is not known any more")
        part = part_of(folder / "input")
        task = asyncio.create_task(
            self._client.download(request.source_url, part, self._limits),
            name=f"download-{job_id}",
        )
        self._downloads[job_id] = task
        return task


async def stop_tasks(tasks: list[asyncio.Task[Any]]) -> None:
    """Cancels tasks and waits for their ends."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _name(by_url: str, found: Downloaded) -> str:
    """What the source calls the file; else the name in one of its URLs that looks like a song's."""
    if found.file_name:
        return found.file_name
    if found.url_name and suffix_of(found.url_name) and not suffix_of(by_url):
        return found.url_name
    return by_url


def _keep(part: Path, path: Path) -> None:
    os.replace(part, path)
    sync_folder(path.parent)
