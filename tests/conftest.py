"""For all tests: one torch thread, compiled kernels kept, logs of their own, the same examples.

`HYPOTHESIS_PROFILE=explore` looks for new examples of the property tests.
"""

import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog

hypothesis.settings.register_profile("same", derandomize=True)
hypothesis.settings.register_profile("explore", derandomize=False)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

os.environ.setdefault(
    "NUMBA_CACHE_DIR", str(Path(tempfile.gettempdir()) / f"stembox-tests-{os.getuid()}" / "numba")
)

WHOLE_SERVERS = ("catalogue", "deploy", "e2e", "loadtests", "promises", "upkeep")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """For `pytest -n 2 --dist loadgroup`: tests of whole servers one after the other, and first,
    since they wait a lot and take longest; beside them all else, a file at a time."""
    if not hasattr(config, "workerinput"):
        return
    items.sort(key=lambda item: _room(item) not in WHOLE_SERVERS)
    for item in items:
        group = "servers" if _room(item) in WHOLE_SERVERS else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))


def _room(item: pytest.Item) -> str:
    return item.path.relative_to(Path(__file__).parent).parts[0]


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
