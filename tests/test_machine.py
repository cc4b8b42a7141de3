"""How many cores there are, by the scheduler and by control groups."""

import os
from pathlib import Path

import pytest

from server.config import cores as all_cores
from server.config.machine import cores, cpu_limits


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


@pytest.mark.parametrize("text", ["max 100000\n", "", "nonsense", "100000", "max\n"])
def test_no_limit_is_none(tmp_path: Path, text: str) -> None:
    write(tmp_path, told="0::/\n", cpu__max=text)
    assert list(cpu_limits(tmp_path / "told", tmp_path)) == []
    assert list(cpu_limits(tmp_path / "nothing", tmp_path)) == []


def test_a_container_sees_its_own_group_as_the_root(tmp_path: Path) -> None:
    write(tmp_path, told="0::/\n", cpu__max="150000 100000\n")
    assert set(cpu_limits(tmp_path / "told", tmp_path)) == {1.5}
    write(tmp_path, told="0::/../not/seen/here\n")
    assert 1.5 in cpu_limits(tmp_path / "told", tmp_path)


def test_a_service_is_bound_by_all_slices_around_it(tmp_path: Path) -> None:
    write(tmp_path, told="0::/system.slice/stembox.service\n")
    write(tmp_path / "system.slice", cpu__max="400000 100000")
    write(tmp_path / "system.slice" / "stembox.service", cpu__max="800000 100000")
    assert min(cpu_limits(tmp_path / "told", tmp_path)) == 4.0


def test_the_first_version_of_control_groups(tmp_path: Path) -> None:
    write(tmp_path, told="5:memory:/other\n4:cpuset:/x\n3:cpu,cpuacct:/docker/abc\n0::/\n")
    write(tmp_path / "cpu", cpu__cfs_quota_us="-1\n", cpu__cfs_period_us="100000\n")
    write(tmp_path / "cpu" / "docker" / "abc", cpu__cfs_quota_us="250000",
          cpu__cfs_period_us="100000")  # fmt: skip
    assert list(cpu_limits(tmp_path / "told", tmp_path)) == [2.5]


@pytest.mark.parametrize(("limits", "expected"), [
    ([], 8), ([1.5], 2), ([4.0, 2.0], 2), ([64.0], 8), ([0.1], 1),
])  # fmt: skip
def test_the_least_counts(
    monkeypatch: pytest.MonkeyPatch, limits: list[float], expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr("server.config.machine.cpu_limits", lambda: iter(limits))
    assert cores.__wrapped__() == expected
    assert all_cores is cores
