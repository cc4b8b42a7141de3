"""Workers that share numba's cache compile one after the other."""

from pathlib import Path

import numba
import pytest

from server.audio import compiling as module
from server.audio.compiling import compiling, in_turn
from server.work.steps import Steps, finish


def steps(done: list[str]) -> Steps[str]:
    done.append("begun")
    yield 0.5
    return "compiled"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "numba"))
    monkeypatch.setattr(module, "PAUSE", 0.01)
    return tmp_path / "numba"


def test_who_waits_gives_signs_of_life_and_begins_when_the_other_is_done(cache: Path) -> None:
    done: list[str] = []
    waiting = in_turn(steps(done))
    with compiling():
        assert [next(waiting) for _ in range(3)] == [0.0, 0.0, 0.0]
        assert done == []
    assert finish(waiting) == "compiled"
    with compiling():
        pass


def test_who_gives_up_keeps_nobody_waiting(cache: Path) -> None:
    given_up = in_turn(steps([]))
    next(given_up)
    given_up.close()
    assert finish(in_turn(steps([]))) == "compiled"


@pytest.mark.parametrize("folder", ["", "/proc/nowhere"])
def test_without_a_folder_nobody_waits(monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", folder)
    with compiling():
        assert finish(in_turn(steps([]))) == "compiled"
