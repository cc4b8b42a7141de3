"""LitServe hosts the HTTP server and the pools; this is the only place that knows its inside.

What LitServe starts: one API process and the worker processes. What is replaced here, because
it would spin, hang or leave processes behind: its loops and request queues (workers block on a
socket of their own, `server/work/channel.py`), its manager process, its monitor, its routes, its
lifespan, its way to stop.
"""

import asyncio
import logging
import multiprocessing as mp
import os
import pkgutil
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import litserve
import litserve.server
import structlog
from litserve.loops.base import LitLoop
from msgspec import Struct, structs

from server.config import Config
from server.logs import set_up_logs
from server.work.board import Board
from server.work.channel import Channel, ChannelClosed
from server.work.confinement import LIMITS, Confinement, Rights, confine, log_is_file
from server.work.fate import EXPENDABLE, MOST_EXPENDABLE, be_killed_first, die_with
from server.work.supervisor import Supervisor

log = structlog.get_logger()
NICE = 5
STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # the last: whose terminal is closed
EXTRA_GRACE = 5.0  # seconds beyond the grace of running requests, to close the database


class PoolPlan(Struct, frozen=True):
    """One pool: the class that does its work ("module:Class"), and one device per worker.

    The class is called as `Class(config, device)` in the worker process; then `hello(...)` and
    `serve(channel)`. Only its name crosses from the parent, which imports none of it. `rights`:
    what the process keeps once that is made; None: all.
    """

    name: str
    work: str
    devices: tuple[str, ...]
    rights: Rights | None = None


class HttpSide(Struct, frozen=True):
    """What the API process runs: our ASGI app, the protocol of its connections, and where it calls
    each worker, by name. It signs the board while it is well."""

    app: Callable[..., Any]
    protocol: type[asyncio.Protocol]
    sockets: Mapping[str, Path]
    board: Board


class StopSignal:
    """What LitServe waits for in place of its event: safe to set from a signal handler."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self._set = False
        self.cause = ""

    def set(self, cause: str = "") -> None:
        self.cause = self.cause or cause
        self._set = True
        os.write(self._write, b"x")

    def is_set(self) -> bool:
        return self._set

    def wait(self) -> None:
        while not self._set:
            os.read(self._read, 1)


class NoTransport:
    """LitServe's way for requests and answers, of which nothing goes here. Also its manager."""

    def close(self, send_sentinel: bool = True) -> None:
        """Nothing to close."""

    def shutdown(self) -> None:
        """Nothing to shut down."""


class SocketLoop(LitLoop):
    """Serves tasks from the API process's socket; sleeps in the kernel when there are none."""

    def run(self, lit_api: "WorkerAPI", *_: Any, **__: Any) -> None:
        """One connection's life; LitServe calls it again for the next."""
        channel = lit_api.channel
        channel.accept()
        try:
            hello = lit_api.work.hello(lit_api.worker_name, os.getpid())
            channel.greet(structs.replace(
                hello, confined=lit_api.confined.done, not_confined=lit_api.confined.lacking
            ))
            lit_api.board.give_sign(lit_api.seat)
            lit_api.work.serve(channel)
        except ChannelClosed:
            log.debug("API process gone: waiting for the next")  # the parent says why
        finally:
            channel.close()


class WorkerAPI(litserve.LitAPI):
    """What LitServe starts in every worker process of one pool."""

    def __init__(
        self, plan: PoolPlan, config: Config, sockets: Mapping[str, Path], board: Board
    ) -> None:
        # stream=True for every API keeps LitServe from adding its gzip middleware.
        super().__init__(api_path=f"/{plan.name}", stream=True, loop=SocketLoop())
        self.plan = plan
        # What strangers' files are decoded by knows no secret of the settings.
        if plan.rights is not None:
            config = structs.replace(config, metrics=structs.replace(config.metrics, token=""))
        self.config = config
        self.sockets = sockets
        self.board = board
        self.confined = Confinement()
        self.parent = os.getpid()

    def setup(self, device: str) -> None:
        die_with(self.parent)
        # Signals to the whole group are the parent's to handle: it stops the API process first,
        # so that running work goes back to the queue, and then kills the workers.
        for name in STOPS:
            signal.signal(name, signal.SIG_IGN)
        be_killed_first(EXPENDABLE if self.plan.rights is None else MOST_EXPENDABLE)
        os.nice(NICE)  # requests are answered first: they are short, and somebody waits
        number = int(os.environ["LITSERVE_WORKER_ID"])
        self.seat = self.board.seat(self.plan.name, number)
        self.worker_name = self.board.seats[self.seat]
        set_up_logs(self.config.log, self.config.private_folders, worker=self.worker_name)
        started = time.monotonic()
        self.work = pkgutil.resolve_name(self.plan.work)(self.config, self.plan.devices[number])
        log.info("worker ready", pid=os.getpid(), device=self.plan.devices[number],
                 warm_up_s=round(time.monotonic() - started, 2))
        at_work = partial(self.board.set_current_work, self.seat)
        self.channel = Channel(self.sockets[self.worker_name], at_work)
        self.channel.listen()
        if self.plan.rights is not None:
            with suppress(PermissionError):  # it leads a group of its own already
                os.setsid()  # the terminal of who started the server is none of its business
            self.confined = confine(self.plan.rights)
            log.info("worker confined", done=self.confined.done)
            if lacking := self.confined.lacking:
                # What the server itself has said of its log is no news of each worker.
                said = lacking.keys() == {LIMITS} and log_is_file()
                level = logging.INFO if said else logging.WARNING
                log.log(level, "worker not confined in all", lacking=lacking)

    def predict(self, x: Any, **_: Any) -> Any:
        """Never called: the loop does not take LitServe's requests."""
        raise NotImplementedError


class Host(litserve.LitServer):
    """The supervisor: holds the listening socket, the API process and all workers."""

    def __init__(self, http: HttpSide, plans: list[PoolPlan], config: Config) -> None:
        self._http = http
        self._board = http.board
        self._config = config
        self._stop = StopSignal()
        # A start that fails half-way is shut down like any other: what that reads is here by then.
        self._api: dict[int, Any] = {}
        self._api_arguments: tuple[tuple[Any, ...], dict[str, Any]] | None = None
        self.inference_workers: list[Any] = []
        # LitServe would start its own MCP server wherever a package of that name is installed.
        litserve.server._MCP_AVAILABLE = False
        super().__init__(
            [WorkerAPI(plan, config, http.sockets, http.board) for plan in plans],
            # Devices are ours to choose: LitServe's "auto" looks for torch in this process.
            accelerator="cpu",
            workers_per_device={f"/{plan.name}": len(plan.devices) for plan in plans},
            timeout=False,
            disable_openapi_url=True,
            restart_workers=True,
        )

    def serve(self) -> None:
        """Runs until SIGTERM, Ctrl-C or SIGHUP; then everything that was started is gone."""
        parent = os.getpid()

        def child() -> None:
            die_with(parent)
            for name in (signal.SIGTERM, signal.SIGINT):
                signal.signal(name, signal.SIG_DFL)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the parent's to handle

        os.register_at_fork(after_in_child=child)  # the API process is forked, workers are not
        nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        for name in STOPS[:2] if nohup else STOPS:
            signal.signal(name, lambda number, _: self._stop.set(signal.Signals(number).name))
        server = self._config.server
        self.uvicorn_graceful_timeout = server.grace_seconds
        try:
            self.run(
                host=server.host, port=server.port, num_api_servers=1, log_level="warning",
                generate_client_file=False, log_config=None, access_log=False,
                server_header=False, timeout_keep_alive=75, http=self._http.protocol, ws="none",
                proxy_headers=False,  # the app knows which proxies to believe
            )
        finally:
            for process in mp.active_children():
                process.kill()
            log.info("stopped")

    # -- from here on: what LitServe calls -------------------------------------------------

    def register_endpoints(self) -> None:
        """None of LitServe's routes is wanted."""

    def _init_manager(self, num_api_servers: int) -> NoTransport:
        """No manager process: nothing goes through its queues, and its death would be ours."""
        for name in ("litserve", "uvicorn", "uvicorn.error", "uvicorn.access"):
            logging.getLogger(name).handlers.clear()  # to the root logger, like everything
            logging.getLogger(name).propagate = True
        self._transport = NoTransport()
        self._shutdown_event = self._stop
        self.workers_setup_status: dict[str, str] = {}
        self.litapi_request_queues = {api.api_path: None for api in self.litapi_connector}
        return self._transport

    def verify_worker_status(self) -> None:
        """The API process may start at once: it says itself which workers are ready."""

    def _prepare_app_run(self, app: Any) -> None:
        app.middleware_stack = self._http.app  # our own ASGI app, lifespan included

    def _start_server(self, *args: Any, **kwargs: Any) -> dict[int, Any]:
        self._api_arguments = (args, kwargs)
        self._api = super()._start_server(*args, **kwargs)
        return self._api

    def _start_worker_monitoring(self, manager: Any, uvicorn_workers: dict[int, Any]) -> None:
        threading.Thread(target=self._supervise, name="supervisor", daemon=True).start()

    def _perform_graceful_shutdown(self, *_: Any, **__: Any) -> None:
        """The API process first: it gives running work back. Then the workers, at once."""
        self._stop.set()
        log.info("told to stop", signal=self._stop.cause)
        for listener in self._api_arguments[0][3] if self._api_arguments else ():
            listener.close()  # new clients are refused at once, not left to wait
        for process in self._api.values():
            process.terminate()
            process.join(self._config.server.grace_seconds + EXTRA_GRACE)
            process.kill()
        for process in (*self._api.values(), *self.inference_workers):
            process.kill()
        for process in (*self._api.values(), *self.inference_workers):
            process.join(EXTRA_GRACE)

    # -- our monitor: starts again what died --------------------------------------------------

    def _supervise(self) -> None:
        """Waits for deaths and starts others in their place."""
        server = self._config.server
        supervisor = Supervisor(
            self._board, time.monotonic(), server.start_seconds, server.stall_seconds
        )
        while not self._stop.is_set():
            try:
                self._look(supervisor)
            except Exception:
                log.exception("supervisor: trying again")
                time.sleep(1)
        # What this thread has forked would be killed by the kernel if the thread ended.
        threading.Event().wait()

    def _look(self, supervisor: Supervisor) -> None:
        # Python's own helper beside spawned processes: whoever kills it has it back, and no zombie.
        resource_tracker.ensure_running()
        watched = [*self.inference_workers, *self._api.values()]
        wait([process.sentinel for process in watched if process.is_alive()], timeout=1)
        if self._stop.is_set():  # whoever has ended was told to
            return
        for seat in supervisor.look(watched, time.monotonic()):
            supervisor.started(seat, time.monotonic())
            self._start_again(seat)

    def _start_again(self, seat: int) -> None:
        if seat < len(self._seats):
            self.inference_workers[seat] = self.launch_single_inference_worker(*self._seats[seat])
        else:
            assert self._api_arguments is not None  # there is a process to replace
            args, kwargs = self._api_arguments
            self._api.update(super()._start_server(*args, **kwargs))

    @property
    def _seats(self) -> list[tuple[WorkerAPI, int]]:
        """Which pool and number each process of LitServe's list of workers is."""
        return [(api, number) for api in self.litapi_connector
                for number in range(len(api.plan.devices))]
