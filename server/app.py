"""The composition root: builds the store, the pools, the jobs and the routes, and runs them.

Imports everything; nothing imports it but the command line.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from server import __version__
from server.admin.server import AdminServer
from server.api import create_app
from server.api.edge.protocol import bounded_protocol
from server.api.ports import Services
from server.api.signing import Signer
from server.api.webhook_payloads import WebhookPayloads
from server.config import Config
from server.engine.library import choice
from server.jobs.accounts import Accounts
from server.jobs.clock import Clock, machine_boot
from server.jobs.disk.database import DATABASE, check_database
from server.jobs.disk.folders import Folders, server_secret, socket_path
from server.jobs.disk.former import change_place
from server.jobs.dispatcher import Dispatcher
from server.jobs.health import Health, check_disk
from server.jobs.janitor import Janitor, Retention
from server.jobs.listening.listening import Listening
from server.jobs.listening.renders import Renders
from server.jobs.models import Models
from server.jobs.outlook import Outlooks
from server.jobs.pipeline_jobs import PipelineJobs
from server.jobs.sources.fetching import Fetcher
from server.jobs.sources.intake import Intake
from server.jobs.sources.uploads import Uploads
from server.jobs.stemsplit_jobs import StemSplitJobs
from server.jobs.webhooks.deliveries import Deliveries
from server.jobs.webhooks.registering import Webhooks
from server.jobs.webhooks.sending import Sender
from server.jobs.webhooks.signatures import callback_secret
from server.logs import set_up_logs
from server.metrics import Metrics
from server.net import Guard, GuardedClient
from server.net.addresses import parse_networks
from server.pool_plans import pool_plans
from server.starting import (
    banner,
    check_log,
    check_port,
    lock,
    most_connections,
    raise_file_limit,
)
from server.work.board import Board
from server.work.pools import Host, HttpSide
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
from store.sealing import Sealer

log = structlog.get_logger()
Scope = dict[str, Any]
BEAT_SECONDS = 1.0


def serve(config: Config) -> None:
    """Runs the server until it is told to stop.

    Raises:
        ConfigError: the data directory is in use, or cannot be written.
    """
    os.umask(0o077)  # what lies in the data directory is nobody else's business
    folders = Folders(config.data_dir, config.scratch_dir)
    folders.create()
    with open(config.data_dir / "lock", "w") as held:
        lock(held.fileno(), config.data_dir)
        set_up_logs(config.log, config.private_folders)
        check_log(config.audio.confine)
        # What cannot work is said before anything starts.
        guard_of(config)
        check_database(folders)
        choice.check(config)
        choice.serving(config.pipeline.quality, config)
        check_port(config.server.host, config.server.port)
        plans = pool_plans(config)
        # Made by a start that failed, it would be something that no restore may overwrite.
        server_secret(config.data_dir)
        change_place(folders)
        print(banner(config, plans), flush=True)
        most = most_connections(config.limits.max_connections, raise_file_limit())
        board = Board({plan.name: len(plan.devices) for plan in plans})
        sockets = {name: socket_path(config.data_dir, f"{name}.sock") for _, name in board.workers}
        application = Application(config, sockets.values(), board)
        proxies = parse_networks(config.server.trusted_proxies, "server.trusted_proxies")
        http = HttpSide(application, bounded_protocol(most, proxies), sockets, board)
        Host(http, plans, config).serve()


def guard_of(config: Config) -> Guard:
    """Which addresses source URLs and webhooks may reach. Raises ConfigError."""
    fetch = config.fetch
    return Guard.of(fetch.allow_networks, config.server.port, denied=fetch.deny_networks)


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
            database = await stack.enter_async_context(Database(config.data_dir / DATABASE))
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
            max(limits.max_account_upload_mb, limits.max_upload_mb) << 20,  # one always fits
        )  # fmt: skip
        accounts = Accounts(AccountRepository(database), CreditRepository(database))
        self._fetcher = Fetcher(config, jobs.stages, intake, client, self.dispatcher.boot)
        stemsplit = StemSplitJobs(
            config, jobs, intake, accounts, uploads, self._fetcher, self.dispatcher
        )
        pipeline = PipelineJobs(config, jobs, intake, self.workers, self.dispatcher)
        payloads = WebhookPayloads(pipeline, stemsplit, signer)
        self._clock = clock = Clock(ClockRepository(database))
        self._sender = Sender(
            hooks, jobs, client, payloads.write, partial(callback_secret, secret), clock
        )
        self._janitor = Janitor(
            jobs, folders, uploads, hooks, Retention.of(config.jobs), intake.incoming, clock,
            database.sizes, self.dispatcher.cancel,
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
            stemsplit=stemsplit,
            accounts=accounts,
            uploads=uploads,
            webhooks=Webhooks(hooks, client),
            deliveries=Deliveries(DeliveryRepository(database), hooks, self._sender.wake),
            listening=listening,
            outlooks=Outlooks(jobs, listening, config.jobs.retention_hours, since=time.time()),
            renders=Renders(config, jobs, folders, self.workers, rooms),
            health=self.health,
            models=Models(config, jobs),
        )
        self.happenings = HappeningRepository(database)
        self._metrics = Metrics(self.happenings, self.workers, board.workers, folders.places)
        self.http = create_app(config, pipeline, services, signer, self._metrics)

    async def requeue_orphans(self) -> None:
        """Puts what an earlier run of the server held back into the queue."""
        # Scratch files are where they were, unless the machine was off, or they lay in a faster
        # place that was emptied or is another now.
        place = f"{machine_boot()} {self._folders.fast_name}".strip()
        if sealed := await self._hooks.seal_all():
            log.info("secrets of webhooks sealed", webhooks=sealed)
        taken = await self._jobs.stages.recover(self.dispatcher.boot, place, time.time())
        if taken.stages:
            log.info("stages of an earlier run taken back", stages=taken.stages)
        for job_id in taken.failed:
            log.warning("job failed", job=job_id, error="the server ended at it again and again")

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
