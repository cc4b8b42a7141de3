"""What a separation worker tells of itself: all of its work, once."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from server.config import Config
from server.engine import reporting
from server.engine.engine import Engine
from server.engine.library.catalog import find
from server.engine.models import Separator
from server.engine.reporting import Reporter
from server.engine.songs.song import start_song
from server.work.messages import Options, Report
from server.work.scratch import FrameWriter


class Wire:
    """A channel's end that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[Report] = []

    def send(self, report: Report) -> None:
        self.sent.append(report)


def told(wire: Wire) -> list[tuple[int, int]]:
    return [(report.segments, report.forwards) for report in wire.sent]


def test_segments_and_forwards_of_real_songs(config: Config, tmp_path: Path) -> None:
    model = Separator(find("single", config), torch.device("cpu"), "float32")
    engine = Engine(2)
    wire: Any = Wire()
    reporter = Reporter(engine, torch.device("cpu"))
    options = Options(file_name="a", model="single", overlap=0.0, wav_format="PCM_16",
                      target_lufs=-14, true_peak_dbtp=-1, max_seconds=60)  # fmt: skip
    with FrameWriter(tmp_path / "mix.f32") as mix:
        mix.write(np.ones((5 * 44100, 2), np.float32))
    engine.add(start_song("a", model, tmp_path, options))
    segments = 5
    reporter.tell(wire, now=True)
    while not engine.idle:
        assert not [error for _, error in engine.step() if error]
    reporter.tell(wire, now=True)
    reporter.tell(wire, now=True)
    assert told(wire) == [(0, 0), (segments, 3), (0, 0)], "batches of two, two and one"
    assert (wire.sent[0].free, wire.sent[0].used) == (0, 0), "there is no card"


def test_a_busy_worker_reports_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 10.0, 10.5, 11.5, 11.5])
    monkeypatch.setattr(reporting.time, "monotonic", lambda: next(clock))
    engine: Any = SimpleNamespace(segments=0, forwards=0)
    wire: Any = Wire()
    reporter = Reporter(engine, torch.device("cpu"))
    for segments in (1, 2, 3):
        engine.segments = segments
        reporter.tell(wire)
    assert told(wire) == [(1, 0), (2, 0)]
