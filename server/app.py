"""The composition root: builds the store, the pools, the jobs and the routes, and runs them.

Imports everything; nothing imports it but the command line.
"""

import asyncio
import fcntl
import hashlib
import os
import socket
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import structlog

from server import __version__
from server.api import create_app
from server.api.auth import check_settings
from server.api.protocol import BoundedProtocol
from server.config import Config
from server.engine import catalog
from server.engine.devices import devices
from server.errors import ConfigError
from server.jobs.dispatcher import Dispatcher
from server.jobs.folders import Folders
from server.jobs.janitor import Janitor
from server.jobs.service import JobService
from server.logs import set_up_logs
from server.pools import Host, HttpSide, PoolPlan
from server.workers import Workers
from store import Database, JobRepository

log = structlog.get_logger()
Scope = dict[str, Any]
LOCK_SECONDS = 3.0
SOCKET_PATH_MAX = 100  # the kernel's limit for a unix socket's path is 108


def serve(config: Config) -> None:
    """Runs the server until it is told to stop.

    Raises:
        ConfigError: the data directory is in use, or cannot be written.
    """
    Folders(config.data_dir).create()
    with open(config.data_dir / "lock", "w") as lock:
        _lock(lock.fileno(), config.data_dir)
        set_up_logs(config.log)
        # What cannot work is said before anything starts.
        check_settings(config.pipeline)
        catalog.serving(config.pipeline.quality, config)
        check_port(config.server.host, config.server.port)
        plans = pool_plans(config)
        path = socket_path(config.data_dir)
        print(banner(config, plans), flush=True)
        http = HttpSide(Application(config, path), BoundedProtocol, path)
        Host(http, plans, config).serve()


def pool_plans(config: Config) -> list[PoolPlan]:
    """The pools of a configuration. A probe answers an upload, so it never waits for a song."""
    return [
        PoolPlan("separation", "server.engine.worker:SeparationWorker",
                 devices(config.separation.device)),
        PoolPlan("audio", "server.audio.worker:AudioWorker", ("cpu",) * config.audio_workers),
        PoolPlan("probe", "server.audio.worker:ProbeWorker", ("cpu",)),
    ]


def banner(config: Config, plans: list[PoolPlan]) -> str:
    """What a person wants to see when the server starts."""
    lines = [f"stembox {__version__}  http://{config.server.host}:{config.server.port}"]
    lines.append(f"  data     {config.data_dir}")
    for plan in plans:
        lines.append(f"  {plan.name:<10} {len(plan.devices)} worker(s) on "
                     f"{', '.join(sorted(set(plan.devices)))}")
    for tier, model in catalog.tiers(config).items():
        note = ""
        if model["serving"] is None:
            note = f" - {model['wanted']} is not on this machine"
        elif model["serving"] != model["wanted"]:
            note = f" (in place of {model['wanted']}, which is not on this machine)"
        lines.append(f"  {tier:<10} {model['serving'] or 'not available'}{note}")
    return "\n".join(lines)


class Application:
    """The ASGI application of the API process: everything opens and closes with its lifespan."""

    def __init__(self, config: Config, socket: Path) -> None:
        self._config = config
        self._socket = socket
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
        folders = Folders(config.data_dir)
        set_up_logs(config.log)
        async with AsyncExitStack() as stack:
            database = await stack.enter_async_context(Database(config.data_dir / "stembox.db"))
            jobs = JobRepository(database)
            workers = Workers(config.jobs.stall_seconds)
            dispatcher = Dispatcher(jobs, workers, folders, config.jobs.max_attempts)
            service = JobService(config, jobs, workers, dispatcher)
            janitor = Janitor(jobs, folders, config.jobs.retention_hours, service.incoming)
            taken_back = await jobs.recover(dispatcher.boot, machine_boot(), time.time())
            if taken_back:
                log.info("stages of an earlier run taken back", stages=taken_back)
            self._http = create_app(config, service)
            await stack.enter_async_context(workers.listening(self._socket))
            for loop in (dispatcher.run(), janitor.run()):
                stack.push_async_callback(_stop, asyncio.create_task(loop))
            dispatcher.wake()
            log.info("API ready", pid=os.getpid())
            yield
            log.info("stopping")


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def machine_boot() -> str:
    """Names this boot of the machine (Linux's boot_id; empty where there is none)."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def check_port(host: str, port: int) -> None:
    """Raises ConfigError where somebody else listens already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}") from None


def socket_path(data_dir: Path) -> Path:
    """Where workers connect: in the data directory, or nearby when its path is too long."""
    path = data_dir / "workers.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_MAX:
        return path
    name = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"stembox-{os.getuid()}-{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise ConfigError(f"{folder} belongs to someone else")
    return folder / "workers.sock"


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
