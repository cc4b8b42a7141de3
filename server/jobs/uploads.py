"""Signed uploads: handing out keys, taking the bytes in, giving them to jobs, sweeping."""

import asyncio
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from server.audio.formats import suffix_of
from server.errors import UploadNotFound, UploadTaken
from server.jobs.folders import Folders, full_disk_is_said, sync_folder
from store import UploadRepository
from store.uploads import Ticket

log = structlog.get_logger()
VALID_SECONDS = 15 * 60
KEPT_SECONDS = 60 * 60  # after that, for a job to be made of it


class Uploads:
    """The uploads of one server. `<uploads>/<random>` holds the bytes of one.

    `check_room()` raises DiskFull while the disk has too little room.
    """

    def __init__(
        self, uploads: UploadRepository, folders: Folders, check_room: Callable[[], None]
    ) -> None:
        self._uploads = uploads
        self._folders = folders
        self.check_room = check_room
        self._arriving: set[str] = set()

    async def ticket(self, account_id: str, file_name: str) -> Ticket:
        """A new key for one file, valid for 15 minutes."""
        name = f"input{suffix_of(file_name) or '.audio'}"
        key = f"uploads/{account_id}/{secrets.token_urlsafe(18)}/{name}"
        ticket = Ticket(key, account_id, file_name, float(int(time.time()) + VALID_SECONDS))
        await self._uploads.add(ticket)
        return ticket

    @contextmanager
    def arriving(self, key: str) -> Iterator[Path]:
        """Where the bytes of a PUT go while they come in; removed however it ends.

        Raises:
            UploadTaken: another PUT to the same key runs.
        """
        if key in self._arriving:
            raise UploadTaken("This upload URL is in use")
        self._arriving.add(key)
        part = self._folders.spool / f"upload-{_name(key)}"
        try:
            yield part
        finally:
            part.unlink(missing_ok=True)
            self._arriving.discard(key)

    async def check_open(self, key: str) -> None:
        """Raises UploadTaken: its bytes are here. UploadNotFound: nobody waits for them."""
        ticket = await self._uploads.get(key)
        if ticket is None:
            raise UploadNotFound("This upload is not known any more")
        if ticket.size is not None:
            raise UploadTaken("This upload URL was used already")

    async def receive(self, key: str, part: Path, size: int) -> None:
        """Keeps the complete, synced file `part`. Raises UploadTaken, DiskFull."""
        with full_disk_is_said():
            await asyncio.to_thread(self._keep, part, self._path(key))
        if not await self._uploads.receive(key, size):
            raise UploadTaken("This upload URL was used already")
        log.info("upload received", key=key, bytes=size)

    async def take(self, account_id: str, key: str, folder: Path) -> Ticket:
        """Gives the upload's bytes to a job as `folder/input`. An upload may serve several.

        Raises:
            UploadNotFound: no such upload of this account, or its bytes are not here.
        """
        ticket = await self._uploads.get(key)
        if ticket is None or ticket.account_id != account_id or ticket.size is None:
            raise UploadNotFound("No upload with this key: PUT the file first, then create the job")
        try:
            with full_disk_is_said():
                await asyncio.to_thread(os.link, self._path(key), folder / "input")
        except FileNotFoundError:
            raise UploadNotFound("This upload has expired") from None
        return ticket

    async def sweep(self, now: float) -> None:
        """Removes what no job can be made of any more. Files first, rows afterwards."""
        before = now - KEPT_SECONDS
        names = await asyncio.to_thread(self._folders.leftovers, self._folders.uploads)
        kept = {_name(key) for key in await self._uploads.keys()}
        stale = {_name(key) for key in await self._uploads.stale(before)}
        for name in (names - kept) | (names & stale):
            await asyncio.to_thread((self._folders.uploads / name).unlink, missing_ok=True)
        await self._uploads.forget(before)

    def spooled(self) -> set[str]:
        """Names in the spool folder that must stay."""
        return {f"upload-{_name(key)}" for key in self._arriving}

    def _keep(self, part: Path, path: Path) -> None:
        os.replace(part, path)
        sync_folder(self._folders.uploads)

    def _path(self, key: str) -> Path:
        return self._folders.uploads / _name(key)


def _name(key: str) -> str:
    """The random part of a key, under which its bytes lie."""
    return key.split("/")[2]
