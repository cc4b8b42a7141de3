"""For all tests: one torch thread, and compiled kernels kept between runs."""

import os
import tempfile
from pathlib import Path

import pytest

os.environ.setdefault(
    "NUMBA_CACHE_DIR", str(Path(tempfile.gettempdir()) / f"stembox-tests-{os.getuid()}" / "numba")
)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
