"""For all tests: one torch thread, compiled kernels kept, logs of their own, the same examples.

`HYPOTHESIS_PROFILE=explore` looks for new examples of the property tests.
"""

import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import structlog

# Nothing fails by the clock: a first call compiles, and machines are busy.
UNTIMED = hypothesis.settings(
    deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("same", UNTIMED, derandomize=True)
hypothesis.settings.register_profile("explore", UNTIMED, derandomize=False)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

KEPT = Path(tempfile.gettempdir()) / f"stembox-tests-{os.getuid()}"
os.environ.setdefault("NUMBA_CACHE_DIR", str(KEPT / "numba"))
if part := os.environ.get("PYTEST_XDIST_WORKER"):  # numba's cache knows no lock
    os.environ["NUMBA_CACHE_DIR"] = f"{KEPT / 'numba'}-{part}"
# The nine processes of a server would compile all sources each; nothing is kept beside these.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
    os.environ["PYTHONPYCACHEPREFIX"] = str(KEPT / "bytecode")

# Rooms whose tests start real servers: they wait a lot, and must not disturb each other.
WHOLE_SERVERS = ("catalogue", "deploy", "e2e", "loadtests", "promises", "upkeep")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """For `pytest -n 2`: whole servers one after the other, and all else, a file at a time, beside
    them."""
    from xdist.scheduler import LoadScopeScheduling

    class ServersApart(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "servers" if file.split("/")[1] in WHOLE_SERVERS else file

    return ServersApart(config, log)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Binary cases are named by their place: what packers put a clock into has another name for
    each of the two processes, which then refuse to share the tests."""
    if isinstance(val, bytes) and not (val.isascii() and val.decode().isprintable()):
        return argname
    return None


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _own_logs() -> Iterator[None]:
    """Takes the process's log down that a test set up: the next one would hear its level alone."""
    root = logging.getLogger()
    level = root.level
    yield
    if structlog.is_configured():
        for handler in root.handlers[:]:
            if type(handler).__module__.startswith("server."):
                root.removeHandler(handler)
        root.setLevel(level)
        structlog.reset_defaults()
