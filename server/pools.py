"""LitServe hosts the HTTP server and the pools; this is the only place that knows its inside.

What LitServe starts: one API process and the worker processes. What is replaced here, because
it would spin, hang or leave processes behind: its loops and request queues (workers block on a
socket of their own, `server/channel.py`), its monitor, its routes, its lifespan, its signals.
"""

import ctypes
import logging
import os
import pkgutil
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, NoReturn

import litserve
import structlog
from litserve.loops.base import LitLoop
from msgspec import Struct

from server.channel import Channel, ChannelClosed
from server.config import Config
from server.logs import set_up_logs

log = structlog.get_logger()
PR_SET_PDEATHSIG = 1
SHORTEST_LIFE = 10.0  # seconds; a worker that dies younger is restarted more and more slowly
LONGEST_WAIT = 30.0


class PoolPlan(Struct, frozen=True):
    """One pool: the class that does its work ("module:Class"), and one device per worker.

    The class is called as `Class(config, device)` in the worker process; then `hello(...)` and
    `serve(channel)`. Only its name crosses from the parent, which imports none of it.
    """

    name: str
    work: str
    devices: tuple[str, ...]


def die_with_parent() -> None:
    """Asks the kernel to kill this process when its parent ends, however that happens."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent == 1 or os.getppid() != parent:  # it was too late already
        os._exit(1)


class SocketLoop(LitLoop):
    """Serves tasks from the API process's socket; sleeps in the kernel when there are none."""

    def run(self, lit_api: "WorkerAPI", *_: Any, **__: Any) -> None:
        """One connection's life; LitServe calls it again for the next."""
        channel = Channel(lit_api.socket)
        channel.connect(lit_api.work.hello(lit_api.worker_name, os.getpid()))
        try:
            lit_api.work.serve(channel)
        except ChannelClosed:
            log.warning("API process gone: waiting for the next")
        finally:
            channel.close()


class WorkerAPI(litserve.LitAPI):
    """What LitServe starts in every worker process of one pool."""

    def __init__(self, plan: PoolPlan, config: Config, socket: Path) -> None:
        # stream=True for every API keeps LitServe from adding its gzip middleware.
        super().__init__(api_path=f"/{plan.name}", stream=True, loop=SocketLoop())
        self.plan = plan
        self.config = config
        self.socket = socket

    def setup(self, device: str) -> None:
        die_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
        number = int(os.environ["LITSERVE_WORKER_ID"])
        self.worker_name = f"{self.plan.name}-{number}"
        set_up_logs(self.config.log, worker=self.worker_name)
        started = time.monotonic()
        self.work = pkgutil.resolve_name(self.plan.work)(self.config, self.plan.devices[number])
        log.info("worker ready", pid=os.getpid(), device=self.plan.devices[number],
                 warm_up_s=round(time.monotonic() - started, 2))

    def predict(self, x: Any, **_: Any) -> Any:
        """Never called: the loop does not take LitServe's requests."""
        raise NotImplementedError


class Host(litserve.LitServer):
    """The supervisor: holds the listening socket, the API process and all workers."""

    def __init__(
        self, app: Callable[..., Any], plans: list[PoolPlan], config: Config, socket: Path
    ) -> None:
        self._our_app = app
        self._config = config
        self._stopping = threading.Event()
        super().__init__(
            [WorkerAPI(plan, config, socket) for plan in plans],
            # Devices are ours to choose: LitServe's "auto" looks for torch in this process.
            accelerator="cpu",
            workers_per_device={f"/{plan.name}": len(plan.devices) for plan in plans},
            timeout=False,
            disable_openapi_url=True,
            restart_workers=True,
        )

    def serve(self) -> None:
        """Runs until SIGTERM or Ctrl-C; then everything that was started is gone."""
        # The manager and the API process are forked: this reaches them both.
        os.register_at_fork(after_in_child=die_with_parent)
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        server = self._config.server
        self.uvicorn_graceful_timeout = server.grace_seconds
        self.run(
            host=server.host, port=server.port, num_api_servers=1, log_level="warning",
            generate_client_file=False, log_config=None, access_log=False, server_header=False,
            timeout_keep_alive=75,
        )

    def _on_signal(self, *_: Any) -> NoReturn:
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, signal.SIG_IGN)
        self._stopping.set()
        raise KeyboardInterrupt  # LitServe's own way to a graceful stop

    # -- from here on: what LitServe calls -------------------------------------------------

    def register_endpoints(self) -> None:
        """None of LitServe's routes is wanted."""

    def _init_manager(self, num_api_servers: int) -> Any:
        manager = super()._init_manager(num_api_servers)
        for name in ("litserve", "uvicorn", "uvicorn.error", "uvicorn.access"):
            logging.getLogger(name).handlers.clear()  # to the root logger, like everything
            logging.getLogger(name).propagate = True
        return manager

    def verify_worker_status(self) -> None:
        """The API process may start at once: it says itself which workers are ready."""

    def _prepare_app_run(self, app: Any) -> None:
        app.middleware_stack = self._our_app  # our own ASGI app, lifespan included

    def _start_server(self, *args: Any, **kwargs: Any) -> dict[int, Any]:
        self._api_arguments = (args, kwargs)
        self._api = super()._start_server(*args, **kwargs)
        # The process is to be joined a little later than its own limit.
        self.uvicorn_graceful_timeout += 5
        return self._api

    def _start_worker_monitoring(self, manager: Any, uvicorn_workers: dict[int, Any]) -> None:
        threading.Thread(target=self._supervise, name="supervisor", daemon=True).start()

    def _perform_graceful_shutdown(self, *args: Any, **kwargs: Any) -> None:
        self._stopping.set()
        super()._perform_graceful_shutdown(*args, **kwargs)

    # -- our monitor: starts again what died --------------------------------------------------

    def _supervise(self) -> None:
        """Waits for deaths. This thread must live as long as the process: the kernel kills
        what it has forked when it ends."""
        births: dict[int, float] = {}
        pauses: dict[int, float] = {}
        while not self._stopping.is_set():
            try:
                self._restart_dead(births, pauses)
            except Exception:
                log.exception("supervisor: trying again")
                time.sleep(1)

    def _restart_dead(self, births: dict[int, float], pauses: dict[int, float]) -> None:
        watched = [*self.inference_workers, *self._api.values()]
        wait([process.sentinel for process in watched], timeout=1)
        for index, process in enumerate(watched):
            if process.is_alive() or self._stopping.is_set():
                continue
            now = time.monotonic()
            young = now - births.get(index, now - 2 * SHORTEST_LIFE) < SHORTEST_LIFE
            pauses[index] = min(LONGEST_WAIT, 2 * pauses.get(index, 0.25)) if young else 0.0
            log.error("process died: starting another", process=process.name, pid=process.pid,
                      exit_code=process.exitcode, after_s=pauses[index])
            self._stopping.wait(pauses[index])
            if not self._stopping.is_set():
                births[index] = time.monotonic()
                self._start_again(index)

    def _start_again(self, index: int) -> None:
        if index >= len(self.inference_workers):
            args, kwargs = self._api_arguments
            self._api.update(super()._start_server(*args, **kwargs))
            return
        first = 0
        for api in self.litapi_connector:
            count = len(self._inference_workers_config_for_api(api.api_path))
            if index < first + count:
                self.inference_workers[index] = self.launch_single_inference_worker(
                    api, index - first)
                return
            first += count


