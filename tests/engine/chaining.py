"""Presets of the tests' models, and the worker's side of a channel for jobs that use them."""

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from server.config import Config, load
from server.engine import worker as worker_module
from server.engine.library import choice
from server.engine.models import Separator
from server.engine.worker import SeparationWorker
from server.work.channel import ChannelClosed
from server.work.messages import Failed, Options, Result, Task
from server.work.scratch import FrameReader, FrameWriter
from tests.engine.conftest import write_models

PRESETS = {
    "karaoke": """
        stems = ["vocals", "instrumental", "drums", "lead", "backing", "dry"]
        [[steps]]
        model = "single"
        stems = ["vocals", "drums"]
        [[steps]]
        input = "vocals"
        model = "masks"
        stems = { lead = "vocals", backing = "instrumental" }
        [[steps]]
        input = "lead"
        model = "hybrid"
        stems = { dry = ["bass", "other"] }""",
    "mean": """
        steps = [{ model = ["single", "masks"], weights = { vocals = [3, 1], drums = [0, 1] } }]""",
    "whole": """
        steps = [{ model = "single", stems = { both = ["vocals", "instrumental"] } }]""",
}
NAMES = ("single", "masks", "hybrid")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setattr(worker_module, "prepare_cpu", lambda threads: None)  # it lasts
    monkeypatch.setattr(Separator, "warm_up", lambda *_: 0.1)
    data = tmp_path / "data"
    write_models(data / "models")
    told = {f"STEMBOX_PRESETS__{name.upper()}": text for name, text in PRESETS.items()}
    return load(
        environ=told,
        flags={
            "server.data_dir": str(data),
            "separation.max_batch": 4,
            "separation.precision": "float32",
        },
    )


def task(
    folder: Path, config: Config, preset: str, wanted: Sequence[str], frames: np.ndarray
) -> Task:
    """A task that wants these stems of a preset; its name is its folder's."""
    folder.mkdir()
    with FrameWriter(folder / "mix.f32") as mix:
        mix.write(frames)
    found = choice.making(wanted, "BALANCED", config, preset)
    options = Options(
        file_name="x",
        **choice.work(found, wanted, "BALANCED", config)._asdict(),
        wav_format="FLOAT",
        target_lufs=-14,
        true_peak_dbtp=-1,
        max_seconds=60,
        stems=tuple(wanted),
    )
    return Task(
        id=folder.name,
        job="j",
        stage="separate",
        source="",
        scratch=str(folder),
        outputs="",
        options=options,
    )


class Desk:
    """The other end of a worker: hands out tasks, hears what is said, and goes home."""

    def __init__(self, worker: SeparationWorker, *tasks: Task) -> None:
        self._worker = worker
        self._inbox: deque[Any] = deque(tasks)
        self.said: list[Any] = []
        self.heard: Callable[[Any], None] = lambda message: None

    def serve(self) -> list[Any]:
        self._worker.hello("separation-0", 1)
        with pytest.raises(ChannelClosed):
            self._worker.serve(self)
        return self.said

    def post(self, message: Any) -> None:
        self._inbox.append(message)

    def waiting(self, seconds: float | None = 0.0) -> bool:
        if not self._inbox and self._worker._engine.idle:
            raise ChannelClosed
        return bool(self._inbox)

    def receive(self) -> Any:
        return self._inbox.popleft()

    def send(self, message: Any) -> None:
        self.said.append(message)
        self.heard(message)

    def ends(self) -> dict[str, Any]:
        return {m.id: m for m in self.said if isinstance(m, Result | Failed)}


def separated(config: Config, *tasks: Task) -> dict[str, Any]:
    desk = Desk(SeparationWorker(config, "cpu"), *tasks)
    desk.serve()
    return desk.ends()


def made(folder: Path) -> dict[str, np.ndarray]:
    """All that lies in a job's scratch folder, (2, samples) by file name."""
    found = {}
    for path in folder.iterdir():
        with FrameReader(path) as reader:
            found[path.name.removesuffix(".f32")] = reader.read(0, reader.frames).T
    return found
