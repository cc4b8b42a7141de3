"""The systemd unit, by systemd's own tools."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from server.config import load

UNIT = Path(__file__).resolve().parent.parent.parent / ".deploy" / "systemd" / "stembox.service"
EXPOSURE = 1.5  # of 10, as the unit says


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("needs systemd-analyze: apt-get install systemd")
    return subprocess.run([found, *arguments], text=True, capture_output=True, check=False,
                          env=os.environ | {"SYSTEMD_COLORS": "0"})  # fmt: skip


def settings_of(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def test_systemd_finds_no_fault_with_it(tmp_path: Path) -> None:
    """With a program in the place of ours, which is not installed here."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/stembox/bin/stembox", "/bin/true"))
    checked = analyze("verify", str(unit))
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_it_is_exposed_no_more_than_it_says() -> None:
    text = UNIT.read_text()
    assert f"{EXPOSURE} of 10" in text
    limit = str(int(EXPOSURE * 10))
    checked = analyze("security", "--offline=true", f"--threshold={limit}", "--no-pager", str(UNIT))
    assert checked.returncode == 0, checked.stdout[-500:]
    wide = analyze("security", "--offline=true", f"--threshold={int(limit) - 5}", str(UNIT))
    assert wide.returncode != 0, "the check does check"


def test_its_settings_are_settings() -> None:
    settings = settings_of(UNIT.read_text())
    environ = dict(line.split("=", 1) for line in settings["Environment"])
    config = load(environ={name: value.replace("%S", "/var/lib") for name, value in
                           environ.items()})  # fmt: skip
    assert config.data_dir == Path("/var/lib") / settings["StateDirectory"][0]
    assert settings["ConfigurationDirectory"] == ["stembox"]
    assert "--config %E/stembox/config.toml" in settings["ExecStart"][0]


def test_it_waits_longer_than_the_server_does() -> None:
    settings = settings_of(UNIT.read_text())
    grace = load(environ={}).server.grace_seconds
    assert int(settings["TimeoutStopSec"][0]) > grace + 10
    assert settings["KillMode"] == ["mixed"], "the supervisor stops its own"
