"""Which devices separation runs on."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
import torch

from server.engine import devices as devices_module
from server.engine.devices import count_gpus, devices, has_cuda
from server.errors import ConfigError


def test_torch_without_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    told = torch.version.cuda is not None or torch.version.hip is not None
    assert has_cuda.__wrapped__() == told
    monkeypatch.setattr(devices_module, "count_gpus", lambda: 2)
    monkeypatch.setattr(devices_module, "has_cuda", lambda: False)
    with structlog.testing.capture_logs() as lines:
        assert devices("auto") == ("cpu",)
    assert "CPUs alone" in lines[0]["event"]
    with pytest.raises(ConfigError, match="CPUs alone"):
        devices("cuda:1")
    with pytest.raises(ConfigError, match="2 CUDA"):
        devices("cuda:2")


CARDS = """\
GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-aaaa-1)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-bbbb-2)
GPU 2: NVIDIA H100 80GB HBM3 (UUID: GPU-cccc-3)
  MIG 3g.40gb     Device  0: (UUID: MIG-dddd-4)
"""


@pytest.fixture
def smi(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Puts a tool of the driver's in the path that says or does something."""
    monkeypatch.setattr(devices_module, "has_cuda", lambda: True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def put(script: str) -> None:
        count_gpus.cache_clear()
        tool = tmp_path / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)

    yield put
    count_gpus.cache_clear()


def test_devices(monkeypatch: pytest.MonkeyPatch, smi: Callable[[str], None]) -> None:
    smi(f"cat <<E\n{CARDS}E")
    assert devices("auto") == ("cuda:0", "cuda:1", "cuda:2")
    smi(f"cat <<E\n{CARDS}E")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2")
    assert devices("auto") == ("cuda:0", "cuda:1")
    assert devices("cpu") == ("cpu",)
    assert devices("cuda:1") == ("cuda:1",)
    assert devices("cuda") == ("cuda:0", "cuda:1")
    with pytest.raises(ConfigError, match="cuda:2"):
        devices("cuda:2")


@pytest.mark.parametrize(("visible", "count"), [
    ("", 0), ("-1", 0), ("0", 1), ("2,0", 2), ("0,-1,1", 1), ("0,3", 1), ("3", 0),
    ("0,0", 0), ("0,1,0", 0),
    ("none", 0), ("NoDevFiles", 0), ("GPU-bbbb", 1), ("GPU-bbbb-2,GPU-aaaa-1", 2), ("GPU-x", 0),
    ("MIG-dddd-4", 1), (" 1 , 2 ", 2), ("0,", 1),
])  # fmt: skip
def test_cards_that_are_not_there_are_not_taken(
    monkeypatch: pytest.MonkeyPatch, smi: Callable[[str], None], visible: str, count: int
) -> None:
    smi(f"cat <<E\n{CARDS}E")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert count_gpus() == count


@pytest.mark.parametrize("visible", [None, "0", "0,1"])
def test_a_tool_that_finds_no_driver(
    monkeypatch: pytest.MonkeyPatch, smi: Callable[[str], None], visible: str | None
) -> None:
    smi("echo NVIDIA-SMI has failed; exit 9")
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert devices("auto") == ("cpu",)


def test_a_tool_that_does_not_answer_is_told_of(
    monkeypatch: pytest.MonkeyPatch, smi: Callable[[str], None]
) -> None:
    smi("exec sleep 60")
    monkeypatch.setattr(devices_module, "SMI_SECONDS", 0.2)
    with structlog.testing.capture_logs() as lines:
        assert devices("auto") == ("cpu",)
    assert "does not answer" in lines[0]["event"]


@pytest.mark.parametrize(("driver", "count"), [(True, 2), (False, 0)])
def test_without_the_tool_a_driver_must_be_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, driver: bool, count: int
) -> None:
    (tmp_path / "nvidiactl").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(devices_module, "DRIVERS", (str(tmp_path / "nvidiactl"),) * driver)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,-1")
    assert count_gpus.__wrapped__() == count
