"""Signed uploads: handing out keys, taking the bytes in, giving them to jobs, sweeping."""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from server.audio.sources.sniffing import suffix_of
from server.errors import TooManyAtOnce, UploadNotFound, UploadTaken
from server.jobs.disk.folders import Folders, full_disk_is_said
from server.jobs.disk.room import DiskRoom
from server.jobs.keyed import KeyedSemaphore
from server.work.durable import sync_folder
from store import UploadRepository
from store.uploads import KEPT_SECONDS, VALID_SECONDS, Ticket

log = structlog.get_logger()
AT_ONCE = 4  # PUTs to one key
RETRY_AFTER = 30  # seconds, after which a PUT that hangs has been given up


class Uploads:
    """The uploads of one server. `<uploads>/<random>` holds the bytes of one.

    rooms: the disk that they go to. most_tickets, most_bytes: of one account, at a time.
    """

    def __init__(
        self, uploads: UploadRepository, folders: Folders, rooms: DiskRoom,
        most_tickets: int = 200, most_bytes: int = 2000 << 20,
    ) -> None:  # fmt: skip
        self._uploads = uploads
        self._folders = folders
        self._rooms = rooms
        self._most_tickets = most_tickets
        self._most_bytes = most_bytes
        self._arriving: dict[str, str] = {}  # names in the spool folder: keys
        self._sizes: dict[str, tuple[str, int]] = {}  # names in the spool folder: account, bytes
        self._locks: KeyedSemaphore[str] = KeyedSemaphore(1)

    async def ticket(self, account_id: str, file_name: str) -> Ticket:
        """A new key for one file, valid for 15 minutes.

        Raises DiskFull; TooManyAtOnce: too many of the account's wait for their files or for jobs.
        """
        await self._rooms.check()
        async with self._locks.enter(account_id):  # the next one counts this one
            waiting = (await self._uploads.outstanding(account_id, time.time())).tickets
            if waiting >= self._most_tickets:
                raise TooManyAtOnce("Too many of your upload URLs wait for a file", VALID_SECONDS)
            await self._make_room(account_id, 1)
            return await self._new_ticket(account_id, file_name)

    async def _new_ticket(self, account_id: str, file_name: str) -> Ticket:
        name = f"input{suffix_of(file_name) or '.audio'}"
        key = f"uploads/{account_id}/{secrets.token_urlsafe(18)}/{name}"
        ticket = Ticket(key, account_id, file_name, float(int(time.time()) + VALID_SECONDS))
        await self._uploads.add(ticket)
        return ticket

    @asynccontextmanager
    async def arriving(self, key: str, size: int) -> AsyncIterator[Path | None]:
        """Where the bytes of a PUT go, at most `size`, while they come in; removed however it
        ends. None: they came before, and are only to be compared.

        Several may come at once: a client whose connection died repeats what still seems to run.

        Raises:
            TooManyAtOnce: too many PUTs to this key run, or too many bytes of the account wait for
                jobs.
            UploadNotFound, DiskFull.
        """
        if sum(key == other for other in self._arriving.values()) >= AT_ONCE:
            raise TooManyAtOnce("Too many PUTs to this upload URL run", RETRY_AFTER)
        part = self._folders.spool / f"upload-{_name(key)}-{secrets.token_hex(4)}"
        self._arriving[part.name] = key
        try:
            first = await self.find(key)
            wanted = first.size is None or first.gone
            if wanted:
                await self._make_room(first.account_id, size)
                self._sizes[part.name] = first.account_id, size  # in the same step as the check
                await self._rooms.promise(
                    part.name, size, caller=first.account_id, place=part
                )
            yield part if wanted else None
        finally:
            part.unlink(missing_ok=True)
            self._rooms.forget(part.name)
            self._sizes.pop(part.name, None)
            del self._arriving[part.name]

    async def _make_room(self, account_id: str, size: int) -> None:
        """Lets the account's oldest used uploads go, until there is room for so many bytes more.

        Raises TooManyAtOnce.
        """
        while True:
            before = dict(self._sizes)  # what comes to lie here meanwhile is counted twice
            lying = (await self._uploads.outstanding(account_id, time.time())).bytes
            sizes = (before | self._sizes).values()
            arriving = sum(size for owner, size in sizes if owner == account_id)
            if lying + arriving + size <= self._most_bytes:
                return
            key = await self._uploads.drop_oldest_used(account_id)
            if key is None:
                raise TooManyAtOnce("Too many of your uploads wait for a job: create their jobs, "
                                     "or wait until they expire", RETRY_AFTER)  # fmt: skip
            await asyncio.to_thread(self._path(key).unlink, missing_ok=True)

    async def find(self, key: str) -> Ticket:
        """Raises UploadNotFound: nobody waits for its bytes, or not any more."""
        ticket = await self._uploads.get(key)
        if ticket is None:
            raise _unknown()
        return ticket

    async def receive(self, key: str, part: Path | None, size: int, sha256: str) -> None:
        """Keeps the complete, synced file `part`, unless the same bytes came before.

        Those stay as they are: jobs may have been made of them.

        Raises:
            UploadTaken: other bytes came before.
            UploadNotFound, DiskFull.
        """
        async with self._locks.enter(key):
            ticket = await self.find(key)
            if ticket.size is not None:
                if (ticket.size, ticket.sha256) != (size, sha256):
                    raise UploadTaken("This upload URL was used already, for another file")
                if not ticket.gone:
                    log.info("upload repeated", key=key)
                    return
            if part is None:
                raise _unknown()
            with full_disk_is_said():
                await asyncio.to_thread(self._keep, part, self._path(key))
                if ticket.gone:
                    booked = await self._uploads.bring_back(key)
                else:
                    booked = await self._uploads.receive(key, size, sha256)
                if not booked:
                    raise _unknown()
        log.info("upload received", key=key, bytes=size)

    async def take(self, account_id: str, key: str, folder: Path) -> Ticket:
        """Gives the upload's bytes to a job as `folder/input`. An upload may serve several; whoever
        has made a job of it calls `used`.

        Raises:
            UploadNotFound: no such upload of this account, or its bytes are not here.
        """
        ticket = await self._uploads.get(key)
        if ticket is None or ticket.account_id != account_id or ticket.size is None:
            raise UploadNotFound("No upload with this key: PUT the file first, then create the job")
        if ticket.gone:
            raise UploadNotFound("This upload has made room for newer ones: PUT the file again")
        try:
            with full_disk_is_said():
                await asyncio.to_thread(os.link, self._path(key), folder / "input")
        except FileNotFoundError:
            raise UploadNotFound("This upload has expired") from None
        return ticket

    async def used(self, key: str) -> None:
        """There is a job that was made of it: from now on its bytes may make room for others."""
        try:
            await self._uploads.use(key, time.time())
        except Exception:  # the job is there all the same
            log.exception("an upload stays until it expires", key=key)

    async def sweep(self, now: float) -> int:
        """Removes what no job can be made of any more. Files first, rows afterwards; returns how
        many rows went."""
        before = now - KEPT_SECONDS
        names = await asyncio.to_thread(self._folders.leftovers, self._folders.uploads)
        kept = {_name(key) for key in await self._uploads.keys(before)}
        for name in names - kept:
            await asyncio.to_thread((self._folders.uploads / name).unlink, missing_ok=True)
        return await self._uploads.forget(before)

    def spooled(self) -> set[str]:
        """Names in the spool folder that must stay."""
        return set(self._arriving)

    def _keep(self, part: Path, path: Path) -> None:
        os.replace(part, path)
        sync_folder(self._folders.uploads)

    def _path(self, key: str) -> Path:
        return self._folders.uploads / _name(key)


def _unknown() -> UploadNotFound:
    return UploadNotFound("This upload is not known any more")


def _name(key: str) -> str:
    """The random part of a key, under which its bytes lie."""
    return key.split("/")[2]
