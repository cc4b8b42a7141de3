"""Which devices separation runs on."""

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


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices_module, "has_cuda", lambda: True)
    count_gpus.cache_clear()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,3")
    assert devices("auto") == ("cuda:0", "cuda:1")
    assert devices("cpu") == ("cpu",)
    assert devices("cuda:1") == ("cuda:1",)
    assert devices("cuda") == ("cuda:0", "cuda:1")
    with pytest.raises(ConfigError, match="cuda:2"):
        devices("cuda:2")
    count_gpus.cache_clear()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert devices("auto") == ("cpu",)
    count_gpus.cache_clear()
