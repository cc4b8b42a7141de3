"""The separation worker by itself: what it tells while it loads, and what fails with a song."""

import os
import socket
import threading
import time
from pathlib import Path
from typing import cast

import pytest
import structlog
from msgspec import structs

from server.config import Config
from server.engine import worker as worker_module
from server.engine.chains import Chain
from server.engine.library.catalog import find
from server.engine.models import Separator
from server.engine.worker import Job, SeparationWorker, beating
from server.work.channel import Channel, pack
from server.work.messages import Failed, Hello, Progress
from tests.engine.speaking import Spoken, chain, messages, names, quick, suppressed, task
from tests.engine.speaking import config as config


def test_a_model_whose_first_forward_fails_is_forgotten(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    worker, channel = SeparationWorker(config, "cpu"), cast(Channel, Spoken())

    def wrong(*_: object) -> float:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(Separator, "warm_up", wrong)
    with pytest.raises(RuntimeError, match="shapes"):
        worker._song(chain(tmp_path / "a", "single"), channel)
    assert set(worker._models) == {"htdemucs"}


def test_a_model_that_takes_longer_is_told_of_before_it_would_pass_for_stalled(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paces = {"htdemucs": 0.5, "single": 9.0, "bag": 2.0}

    def warm_up(model: Separator, _: int) -> float:
        if model.name == "single":
            time.sleep(0.3)
        return paces[model.name]

    monkeypatch.setattr(Separator, "warm_up", warm_up)
    monkeypatch.setattr(worker_module, "BEAT_S", 0.05)
    worker, channel = SeparationWorker(config, "cpu"), Spoken()
    assert worker.hello("separation-0", 1).step_s == 0.5
    worker._song(chain(tmp_path / "a", "htdemucs"), channel)  # type: ignore[arg-type]
    assert channel.messages == [], "it is there already"
    worker._song(chain(tmp_path / "b", "single"), channel)  # type: ignore[arg-type]
    *signs, hello = channel.messages
    assert signs and set(signs) == {Progress("single", 0.0)}, "signs of life until it is measured"
    assert isinstance(hello, Hello) and hello.step_s == 9.0
    channel.messages.clear()
    worker._song(chain(tmp_path / "c", "bag"), channel)  # type: ignore[arg-type]
    (again,) = [message for message in channel.messages if isinstance(message, Hello)]
    assert again.step_s == 9.0, "a faster one changes nothing"
    assert names(again) == {"htdemucs", "single", "bag"}


def test_signs_of_life_end_where_loading_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "BEAT_S", 0.01)
    beats: list[float] = []
    with beating(lambda: beats.append(time.monotonic()), 0.1):
        time.sleep(0.5)
    assert len(beats) > 0 and beats[-1] - beats[0] < 0.4


def test_a_model_that_whoever_started_the_worker_has_hashed_stays_as_it_was(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    worker, channel = SeparationWorker(config, "cpu", ["htdemucs"]), cast(Channel, Spoken())
    found = find("htdemucs", config)
    assert found is not None
    old = worker._song(chain(tmp_path / "a", "htdemucs"), channel)
    os.utime(found.listing, (0, 0))
    assert worker._song(chain(tmp_path / "b", "htdemucs"), channel).model is old.model


def test_an_idle_model_leaves_while_the_worker_sleeps(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over a real socket: nothing comes in, and the model goes all the same."""
    quick(monkeypatch)
    brief = structs.replace(config.separation, model_idle_seconds=0.2)
    ours, theirs = socket.socketpair()
    channel = Channel(tmp_path / "nowhere")
    channel._socket = ours
    worker = SeparationWorker(structs.replace(config, separation=brief), "cpu")
    channel.greet(worker.hello("separation-0", 1))
    theirs.sendall(pack(task(tmp_path / "a", "single")))
    thread = threading.Thread(target=lambda: suppressed(worker, channel))
    thread.start()
    said = messages(theirs)
    told = next(m for m in said if isinstance(m, Hello) and "single" not in names(m))
    assert names(told) == {"htdemucs"} == set(worker._models)
    theirs.close()
    thread.join(20)
    assert not thread.is_alive()


def test_a_song_whose_files_went_with_its_job_is_no_error(
    config: Config, tmp_path: Path
) -> None:
    worker, channel = SeparationWorker(config, "cpu"), Spoken()
    levels: list[str] = []
    for name, error in (("j", FileNotFoundError(2, "gone", "/x")), ("k", RuntimeError("real"))):
        job = worker._jobs["htdemucs"] = Job(chain(tmp_path / name, "htdemucs"))
        song = worker._song(job.chain, cast(Channel, channel))
        with structlog.testing.capture_logs() as logs:
            worker._report(cast(Channel, channel), song, error)
        levels += [line["log_level"] for line in logs]
    assert levels == ["info", "error"] and not worker._jobs
    failed = [m.id for m in channel.messages if isinstance(m, Failed)]
    assert failed == ["htdemucs", "htdemucs"]


def test_a_device_that_broke_while_nothing_ran_ends_the_worker(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would else fail whatever comes, and look healthy."""
    quick(monkeypatch)
    worker, channel = SeparationWorker(config, "cpu"), Spoken()
    worker.hello("separation-0", 1)

    def broken(*_: object) -> None:
        raise RuntimeError("illegal memory access")

    monkeypatch.setattr(Chain, "start", broken)
    given = task(tmp_path / "a", "htdemucs")
    job = worker._jobs[given.id] = Job(Chain(given))
    worker._go_on(channel, job)  # type: ignore[arg-type]
    assert isinstance(channel.messages[-1], Failed), "a device in order: it is the song's fault"
    job = worker._jobs[given.id] = Job(Chain(given))
    monkeypatch.setattr(worker_module, "check_device", broken)
    with pytest.raises(RuntimeError, match="illegal"):
        worker._go_on(channel, job)  # type: ignore[arg-type]
