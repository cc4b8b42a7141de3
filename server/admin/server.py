"""Carries out what the operator asks about accounts, keys and credits, on an open database."""

import asyncio
import hmac
import math
import time
import unicodedata
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import structlog

from server.admin.messages import (
    BOTH_APIS,
    LONGEST,
    PATIENCE_S,
    Answer,
    Asked,
    Command,
    CreateKey,
    Done,
    Grant,
    ListKeys,
    Refused,
    RevokeKeys,
    ShowCredits,
    ShowSecret,
    Snapshot,
    Unsure,
    patience_for,
    proof_of,
)
from server.admin.snapshots import take_snapshot
from server.credentials import LIVE_KEY, TEST_KEY
from server.errors import StemboxError, in_seconds
from server.jobs import keys
from server.jobs.webhooks.signatures import callback_secret
from server.names import REMOVED
from store import AccountRepository, CreditRepository, Database, Entry
from store.accounts import ListedKey, NewKey
from store.credits import BookedBefore

log = structlog.get_logger()
SHOWN_ENTRIES = 1000  # of a ledger, the last ones
MOST_REQUESTS = 1_000_000  # a minute


class AdminServer:
    """Carries commands out. `revoked` is called when keys were."""

    def __init__(self, database: Database, secret: bytes, revoked: Callable[[], None]) -> None:
        self._accounts = AccountRepository(database)
        self._credits = CreditRepository(database)
        self._data_dir = database.path.parent
        self._secret = secret
        self._revoked = revoked

    async def run(self, command: Command) -> str:
        """What is to be printed. Raises StemboxError."""
        match command:
            case CreateKey():
                return await self._create_key(command)
            case ListKeys():
                return await self._list_keys()
            case RevokeKeys(prefix):
                return await self._revoke(prefix)
            case Grant(account, minutes, reference):
                return await self._grant(await self._find(account), minutes, reference)
            case ShowCredits(account):
                return await self._show(await self._find(account))
            case ShowSecret(account):
                found = await self._find(account) if account else None
                return callback_secret(self._secret, found)
            case Snapshot():
                return str(await asyncio.to_thread(take_snapshot, self._data_dir))

    async def _create_key(self, command: CreateKey) -> str:
        if not command.account:
            raise StemboxError("an account needs a name")
        if any(unicodedata.category(letter) in REMOVED for letter in command.account):
            raise StemboxError("an account's name is one line, without control characters")
        scopes, limit = ",".join(dict.fromkeys(command.scopes)), command.requests_per_minute
        if not scopes or not set(command.scopes) <= set(keys.SCOPES):
            raise StemboxError(f"scopes are some of {', '.join(keys.SCOPES)}")
        if limit is not None and not 0 < limit <= MOST_REQUESTS:
            raise StemboxError(f"a limit is a number from 1 to {MOST_REQUESTS}")
        seconds = seconds_of(command.minutes) if command.minutes else 0
        key = keys.new_key(command.test)
        account, booked = await self._accounts.create_key(NewKey(
            command.account, keys.hash_of(key), keys.shown(key), seconds,
            command.reference or None, time.time(), scopes, limit,
        ))  # fmt: skip
        log.info("key created", account=account, key=keys.shown(key), seconds=booked)
        if booked == seconds:
            return key
        _, when = await self._before(account, command.reference)
        return f"{key}\n{_already(when)}"

    async def _list_keys(self) -> str:
        lines = [f"{'KEY':<18} {'ACCOUNT':<24} {'CREATED':<20} {'REVOKED':<20} ONLY"]
        for key in await self._accounts.keys():
            revoked = "" if key.revoked_at is None else _day(key.revoked_at)
            special = _special(key)
            lines.append(f"{key.prefix:<18} {key.account:<24} {_day(key.created_at):<20} "
                         f"{revoked:<20} {special}")
        return "\n".join(line.rstrip() for line in lines)

    async def _revoke(self, prefix: str) -> str:
        if any(kind.startswith(prefix) for kind in (LIVE_KEY, TEST_KEY)):
            raise StemboxError("give more of the key: many begin so")
        revoked, found = await self._accounts.revoke(keys.shown(prefix), time.time())
        self._revoked()
        if not found:
            raise StemboxError(f"no key begins with {keys.shown(prefix)}")
        log.info("keys revoked", prefix=keys.shown(prefix), count=revoked)
        return f"{revoked} key(s) revoked"

    async def _grant(self, account: str, minutes: float, reference: str) -> str:
        seconds = seconds_of(minutes)
        entry = Entry(account, "grant", seconds, time.time(), reference=reference or None)
        try:
            await self._credits.add(entry)
        except BookedBefore:
            return await self._granted_before(account, seconds, reference)
        log.info("credits granted", account=account, seconds=seconds)
        return await self._show(account, ledger=False)

    async def _granted_before(self, account: str, seconds: int, reference: str) -> str:
        granted, when = await self._before(account, reference)
        if granted != seconds:
            raise StemboxError(
                f"credits of {in_seconds(granted)} were granted {when}: not {seconds}"
            )
        balance = await self._show(account, ledger=False)
        return f"{balance}\n{_already(when)}"

    async def _before(self, account: str, reference: str) -> tuple[int, str]:
        """The seconds that were granted under this reference, and when, in words."""
        before = await self._credits.referred(account, reference)
        assert before is not None
        return before.seconds, f"at {_day(before.created_at)}, reference {reference}"

    async def _show(self, account: str, ledger: bool = True) -> str:
        balance, _ = await self._credits.balance(account)
        lines = [f"balance {in_seconds(balance)}"]
        if ledger:
            entries, total = await self._credits.page(account, SHOWN_ENTRIES, 0)
            if total > len(entries):
                lines.append(f"the last {len(entries)} of {total} entries")
            for entry in reversed(entries):
                lines.append(f"{_day(entry.created_at)}  {entry.kind:<8} {entry.seconds:>8}  "
                             f"{entry.balance:>8}  {entry.job_id or ''}".rstrip())
        return "\n".join(lines)

    async def _find(self, name: str) -> str:
        found = await self._accounts.find(name)
        if found is None:
            raise StemboxError(f"no account is called {name}")
        return found

    @asynccontextmanager
    async def open(self, path: Path) -> AsyncIterator[None]:
        """Answers commands on a unix socket at `path`, inside this context."""
        path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._answer, path, limit=LONGEST)
        path.chmod(0o600)
        try:
            yield
        finally:
            server.close()
            path.unlink(missing_ok=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            command, answer = await self._taken(reader)
            writer.write(msgspec.json.encode(answer) + b"\n")
            try:
                await writer.drain()
            except ConnectionError:
                if command is not None and isinstance(answer, Done):
                    _say_lost(command, answer)
        finally:
            writer.close()

    async def _taken(self, reader: asyncio.StreamReader) -> tuple[Command | None, Answer]:
        """The command that comes, None where none did, carried out."""
        command: Command | None = None
        answer: Answer
        try:
            async with asyncio.timeout(PATIENCE_S) as patience:
                line = await reader.readline()
                if not line.endswith(b"\n"):
                    raise StemboxError("no whole command came")
                asked = msgspec.json.decode(line, type=Asked)
                if not hmac.compare_digest(asked.proof.encode(), proof_of(self._secret).encode()):
                    raise StemboxError("only who can read the server's secret may ask that")
                command = asked.command
                patience.reschedule(asyncio.get_running_loop().time() + patience_for(command))
                answer = Done(await self.run(command))
        except StemboxError as error:
            answer = Refused(error.message)
        except TimeoutError:
            log.exception("command not answered in time")
            answer = Unsure("the server could not do it in time")
        except Exception as error:
            log.exception("command failed")
            answer = Unsure(f"the server failed: {type(error).__name__}")
        return command, answer


def seconds_of(minutes: float) -> int:
    """Credits for so many minutes. Raises StemboxError for what is no amount."""
    if not (math.isfinite(minutes) and 0 < minutes <= 1e7):
        raise StemboxError("minutes must be a number above 0, at most 10000000")
    if (seconds := round(60 * minutes)) < 1:
        raise StemboxError("minutes must be a second at least")
    return seconds


def _say_lost(command: Command, answer: Done) -> None:
    """Who gave the command was gone when it had been carried out: by Ctrl-C, as a rule."""
    if isinstance(command, CreateKey):
        log.warning("a key was made that nobody has seen: revoke it", key=keys.shown(answer.text))
    else:
        log.warning("a command was carried out, and its answer was lost",
                    command=type(command).__name__)  # fmt: skip


def _already(when: str) -> str:
    return f"nothing was added: this was granted already, {when}"


def _special(key: ListedKey) -> str:
    """What makes a key another one than most: what it opens, and how often."""
    scopes = key.scopes.replace(",", " ") if key.scopes != ",".join(BOTH_APIS) else ""
    limit = "" if key.requests_per_minute is None else f"{key.requests_per_minute} a minute"
    return " ".join(filter(None, (scopes, limit)))


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))
