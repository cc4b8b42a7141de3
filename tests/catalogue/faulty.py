"""The `stembox` command on Ray workers that deadly songs kill: `python -m tests.catalogue.faulty`.

A song whose file is called `deadly decode …` or `deadly separate …` kills the process that comes
to that stage of it, and a model called `deadly` the one that loads it.
"""

import os
import signal
import sys
from typing import Any

import ray

from server import cli
from server.catalogue.orders import Order
from server.engine.worker import SeparationWorker
from server.work.messages import Task


def arm() -> None:
    """Makes this worker process mortal."""
    task = Order.task

    def deadly(self: Order, stage: str, facts: dict[str, Any]) -> Task:
        if f"deadly {stage}" in self.location:
            os.kill(os.getpid(), signal.SIGKILL)
        return task(self, stage, facts)

    load = SeparationWorker.__init__

    def deadly_load(self: SeparationWorker, config: Any, device: str, stay: Any = ()) -> None:
        if "deadly" in stay:
            os.kill(os.getpid(), signal.SIGKILL)
        load(self, config, device, stay)

    Order.task = deadly  # type: ignore[method-assign]
    SeparationWorker.__init__ = deadly_load  # type: ignore[method-assign]


def main() -> int:
    """Runs the command, whose workers are armed."""
    init = ray.init

    def armed(*arguments: Any, runtime_env: dict[str, Any], **more: Any) -> Any:
        hook = {"worker_process_setup_hook": "tests.catalogue.faulty.arm"}
        return init(*arguments, runtime_env=runtime_env | hook, **more)

    ray.init = armed
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
