"""The mixer without a browser: scripts drive the built worklet by Node."""

import shutil
import subprocess
from pathlib import Path

import pytest

from .conftest import unable


def node() -> str:
    """Node, or the one that Playwright brings along."""
    if found := shutil.which("node"):
        return found
    try:
        from playwright._impl._driver import compute_driver_executable
    except ImportError:
        unable("no Node here, and no Playwright, which brings one")
    return compute_driver_executable()[0]


@pytest.mark.parametrize("name", ["mixer", "tempo"])
def test_mixer(name: str) -> None:
    script = Path(__file__).with_name(f"{name}.test.mjs")
    done = subprocess.run([node(), "--test", script], text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout
