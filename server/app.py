"""The composition root: builds the store, the pools, the jobs and the routes, and runs them.

Imports everything; nothing imports it but the command line.
"""

import asyncio
import fcntl
import os
import resource
import socket
import sqlite3
import time
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from server import __version__
from server.admin import AdminServer
from server.api import create_app
from server.api.ports import Services
from server.api.protocol import bounded_protocol
from server.api.signing import Signer
from server.api.webhook_payloads import WebhookPayloads
from server.config import Config
from server.engine import choice
from server.errors import ConfigError
from server.jobs.accounts import Accounts
from server.jobs.clock import Clock, machine_boot
from server.jobs.deliveries import Deliveries
from server.jobs.dispatcher import Dispatcher
from server.jobs.fetching import Fetcher
from server.jobs.folders import Folders, server_secret, socket_path
from server.jobs.health import Health, check_disk
from server.jobs.intake import Intake
from server.jobs.janitor import Janitor, Retention
from server.jobs.listening import Listening
from server.jobs.models import Models
from server.jobs.outlook import Outlooks
from server.jobs.renders import Renders
from server.jobs.service import JobService
from server.jobs.signatures import callback_secret
from server.jobs.split import SplitService
from server.jobs.uploads import Uploads
from server.jobs.webhooks import Sender, Webhooks
from server.logs import set_up_logs
from server.metrics import Metrics
from server.net import Guard, GuardedClient
from server.pool_plans import pool_plans
from server.work.board import Board
from server.work.pools import Host, HttpSide, PoolPlan
from server.work.workers import Workers
from store import (
    AccountRepository,
    ClockRepository,
    CreditRepository,
    Database,
    DeliveryRepository,
    HappeningRepository,
    JobRepository,
    UploadRepository,
    WebhookRepository,
)
from store.migrations import schema_of
from store.sealing import Sealer

log = structlog.get_logger()
Scope = dict[str, Any]
LOCK_SECONDS = 3.0
BEAT_SECONDS = 1.0
MOST_FILES = 1 << 16  # open at once; more are of no use, and some programs walk through all
OWN_FILES = 512  # of them for what is no connection: windows, database, workers


def serve(config: Config) -> None:
    """Runs the server until it is told to stop.

    Raises:
        ConfigError: the data directory is in use, or cannot be written.
    """
    os.umask(0o077)  # what lies in the data directory is nobody else's business
    os.environ.pop("STEMBOX_METRICS__TOKEN", None)  # it is read, and workers inherit the rest
    Folders(config.data_dir, config.scratch_dir).create()
    with open(config.data_dir / "lock", "w") as lock:
        _lock(lock.fileno(), config.data_dir)
        set_up_logs(config.log, config.private_folders)
        # What cannot work is said before anything starts.
        guard_of(config)
        server_secret(config.data_dir)
        check_schema(config.data_dir / "stembox.db")
        choice.check(config)
        choice.serving(config.pipeline.quality, config)
        check_port(config.server.host, config.server.port)
        plans = pool_plans(config)
        print(banner(config, plans), flush=True)
        most = most_connections(config.limits.max_connections, raise_file_limit())
        board = Board({plan.name: len(plan.devices) for plan in plans})
        sockets = {name: socket_path(config.data_dir, f"{name}.sock") for _, name in board.workers}
        application = Application(config, sockets.values(), board)
        http = HttpSide(application, bounded_protocol(most), sockets, board)
        Host(http, plans, config).serve()


def guard_of(config: Config) -> Guard:
    """Which addresses source URLs and webhooks may reach. Raises ConfigError."""
    fetch = config.fetch
    return Guard.of(fetch.allow_networks, config.server.port, denied=fetch.deny_networks)


def banner(config: Config, plans: list[PoolPlan]) -> str:
    """What a person wants to see when the server starts."""
    lines = [f"stembox {__version__}  http://{config.server.host}:{config.server.port}"]
    lines.append(f"  data     {config.data_dir}")
    for plan in plans:
        lines.append(f"  {plan.name:<10} {len(plan.devices)} worker(s) on "
                     f"{', '.join(sorted(set(plan.devices)))}")
    for tier, model in choice.tiers(config).items():
        note = ""
        if model["serving"] is None:
            note = f" - {model['wanted']} is not on this machine"
        elif model["serving"] != model["wanted"]:
            note = f" (in place of {model['wanted']}, which is not on this machine)"
        lines.append(f"  {tier:<10} {model['serving'] or 'not available'}{note}")
    for refused in choice.refused(config):
        lines.append(f"  {refused.name:<10} not used: {refused.reason}")
    return "\n".join(lines)


class Application:
    """The ASGI application of the API process: everything opens and closes with its lifespan."""

    def __init__(self, config: Config, sockets: Iterable[Path], board: Board) -> None:
        self._config = config
        self._sockets = sockets
        self._board = board
        self._http: Any = None

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _lifespan(self, receive: Any, send: Any) -> None:
        await receive()  # lifespan.startup
        phase = "startup"
        try:
            async with self._running():
                await send({"type": "lifespan.startup.complete"})
                phase = "shutdown"
                await receive()  # lifespan.shutdown
        except Exception as error:
            log.exception("the API process cannot go on", phase=phase)
            await send({"type": f"lifespan.{phase}.failed", "message": str(error)})
            raise
        await send({"type": "lifespan.shutdown.complete"})

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        config = self._config
        set_up_logs(config.log, config.private_folders)
        async with AsyncExitStack() as stack:
            database = await stack.enter_async_context(Database(config.data_dir / "stembox.db"))
            components = Components(config, database, self._board)
            await components.happenings.begin()
            await components.requeue_orphans()
            self._http = components.http
            await stack.enter_async_context(components.workers.called(self._sockets))
            socket = socket_path(config.data_dir, "admin.sock")
            await stack.enter_async_context(components.admin.open(socket))
            for name, loop in components.loops().items():
                task = asyncio.create_task(loop, name=name)
                stack.push_async_callback(_stop, task)
                components.health.watch(task)
            components.dispatcher.wake()
            log.info("API ready", pid=os.getpid(), version=__version__,
                     host=config.server.host, port=config.server.port)
            yield
            log.info("stopping")


class Components:
    """Everything behind the API process's routes, put together on an open database."""

    def __init__(self, config: Config, database: Database, board: Board) -> None:
        self._folders = folders = Folders(config.data_dir, config.scratch_dir)
        secret = server_secret(config.data_dir)
        signer = Signer(secret)
        client = GuardedClient(guard_of(config))
        self._jobs = jobs = JobRepository(database)
        self._hooks = hooks = WebhookRepository(database, Sealer(secret))
        self._board = board
        self.workers = Workers(config.jobs.stall_seconds, board.pause)
        intake = Intake(config, jobs, self.workers)
        rooms = intake.rooms
        self.dispatcher = Dispatcher(
            jobs.stages, self.workers, folders, rooms, config.jobs.max_attempts
        )
        limits = config.limits
        uploads = Uploads(
            UploadRepository(database), folders, rooms, limits.max_account_tickets,
            limits.max_account_upload_mb << 20,
        )  # fmt: skip
        accounts = Accounts(AccountRepository(database), CreditRepository(database))
        self._fetcher = Fetcher(config, jobs.stages, intake, client, self.dispatcher.boot)
        split = SplitService(
            config, jobs, intake, accounts, uploads, self._fetcher, self.dispatcher
        )
        service = JobService(config, jobs, intake, self.workers, self.dispatcher)
        payloads = WebhookPayloads(service, split, signer)
        self._clock = clock = Clock(ClockRepository(database))
        self._sender = Sender(
            hooks, jobs, client, payloads.write, partial(callback_secret, secret), clock
        )
        self._janitor = Janitor(
            jobs, folders, uploads, hooks, Retention.of(config.jobs), intake.incoming, clock,
            database.sizes,
        )  # fmt: skip
        for wake in (self._sender.wake, self.dispatcher.wake):
            self._fetcher.listen(wake)
        self.dispatcher.listen(self._sender.wake)
        self.admin = AdminServer(database, secret, accounts.forget_keys)
        check = partial(check_disk, config.data_dir, config.server.min_free_percent)
        self.health = Health(self.workers, {
            "database": database.check, "disk": partial(asyncio.to_thread, check)
        })  # fmt: skip
        listening = Listening(jobs, folders)
        services = Services(
            split, accounts, uploads, Webhooks(hooks, client),
            Deliveries(DeliveryRepository(database), hooks, self._sender.wake), listening,
            Outlooks(jobs, listening, config.jobs.retention_hours, since=time.time()),
            Renders(config, jobs, folders, self.workers, rooms), self.health,
            Models(config, jobs),
        )
        self.happenings = HappeningRepository(database)
        self._metrics = Metrics(self.happenings, self.workers, board.workers, folders.places)
        self.http = create_app(config, service, services, signer, self._metrics)

    async def requeue_orphans(self) -> None:
        """Puts what an earlier run of the server held back into the queue."""
        # Scratch files are where they were, unless the machine was off, or they lay in a faster
        # place that was emptied or is another now.
        place = f"{machine_boot()} {self._folders.fast_name}".strip()
        if sealed := await self._hooks.seal_all():
            log.info("secrets of webhooks sealed", webhooks=sealed)
        taken = await self._jobs.stages.recover(self.dispatcher.boot, place, time.time())
        if taken:
            log.info("stages of an earlier run taken back", stages=taken)

    def loops(self) -> dict[str, Coroutine[Any, Any, None]]:
        """What runs as long as the process, by name."""
        return {"dispatcher": self.dispatcher.run(), "fetcher": self._fetcher.run(),
                "sender": self._sender.run(), "janitor": self._janitor.run(),
                "clock": self._clock.run(), "health": self.health.run(),
                "metrics": self._metrics.run(), "heartbeat": self._beat()}  # fmt: skip

    async def _beat(self) -> None:
        """Signs the board for as long as the whole process is well."""
        while True:
            if self.health.alive:
                self._board.give_sign(self._board.api)
            await asyncio.sleep(BEAT_SECONDS)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def raise_file_limit() -> int:
    """Lets this process, and those that it starts, open as many files as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return MOST_FILES if soft == resource.RLIM_INFINITY else soft


def most_connections(wanted: int, files: int) -> int:
    """As many as wanted, if each may have a file open and enough are left for the server."""
    most = max(2, min(wanted, (files - OWN_FILES) // 2))
    if most < wanted:
        log.warning("the system's limit of open files bounds connections", connections=most,
                    wanted=wanted, open_files=files)
    return most


def check_schema(database: Path) -> None:
    """Raises ConfigError where a newer stembox has written the database."""
    if not database.exists():
        return
    with closing(sqlite3.connect(database)) as connection:
        try:
            schema_of(connection)
        except (RuntimeError, sqlite3.DatabaseError) as error:
            raise ConfigError(f"{database}: {error}") from None


def check_port(host: str, port: int) -> None:
    """Raises ConfigError where somebody else listens already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}") from None


def _lock(descriptor: int, data_dir: Path) -> None:
    """The processes of a server that was killed hold the lock until they are gone, too."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > deadline:
                raise ConfigError(f"another stembox serves from {data_dir}") from None
            time.sleep(0.1)
