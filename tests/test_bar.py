"""Progress: a bar in a terminal, lines in a file."""

import sys

import pytest

from server.commands import bar


def test_a_file_gets_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(bar.time, "monotonic", lambda: now[0])
    with bar.Bar("song.wav") as tell:
        for second in range(25):
            now[0] = 100.0 + second
            tell("separate", second / 25)
    assert capsys.readouterr().err.splitlines() == [
        "song.wav: 40 % separate", "song.wav: 80 % separate",
    ]  # fmt: skip


def test_a_terminal_gets_a_bar_that_goes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with bar.Bar("song.wav") as tell:
        tell("separate", 1.0)
    drawn = capsys.readouterr().err
    assert "song.wav: " in drawn and "100 % " in drawn and "separate" in drawn
    assert "\n" not in drawn and drawn.endswith("\r")
