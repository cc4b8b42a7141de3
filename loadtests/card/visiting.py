"""A visit to a card: runs part after part until its time is over, and keeps what they find."""

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from loadtests.compare import Row


def say(text: str) -> None:
    """A line of progress."""
    print(text, flush=True)


class Findings(Row):
    """What a part has found so far; in its file at once, for it may be stopped at any time."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        say(f"{name:<28} {value}")
        self._path.write_text(json.dumps(self), encoding="utf-8")


class Visit:
    """Runs part after part until its time is over, and writes down what they found."""

    def __init__(self, out: Path, seconds: float) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self._out = out
        self._until = time.monotonic() + seconds
        self.found: dict[str, Row] = {}

    def part(self, name: str, command: list[str], limit: float) -> None:
        """One process, its output to the terminal and the log; past its limit it is killed."""
        limit = min(limit, self._until - time.monotonic())
        say(f"== {name}, at most {max(0, limit):.0f} s")
        began = time.monotonic()
        result = self._out / f".{name.replace(', ', '-').replace(' ', '-')}.json"
        end = self._run(
            [*command, "--result", str(result)] if "--part" in command else command, limit
        )
        found = json.loads(result.read_text(encoding="utf-8")) if result.exists() else {}
        result.unlink(missing_ok=True)
        self.found[name] = {"end": end, "took_s": round(time.monotonic() - began, 1)} | found
        text = json.dumps(self.found, indent=1)
        (self._out / "results.json").write_text(text, encoding="utf-8")

    def _run(self, command: list[str], limit: float) -> str:
        if limit < 5:
            return "no time left"
        environ = os.environ | {"PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(
            command,
            env=environ,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        late = threading.Event()

        def stop() -> None:
            late.set()
            os.killpg(process.pid, signal.SIGKILL)  # with all that it started

        timer = threading.Timer(limit, stop)
        timer.start()
        assert process.stdout is not None
        with open(self._out / "log.txt", "a", encoding="utf-8") as log:
            for line in process.stdout:
                print(line, end="", flush=True)
                log.write(line)
        code = process.wait()
        timer.cancel()
        return "past its limit" if late.is_set() else f"exit code {code}"

    def table(self) -> None:
        """Prints it all."""
        for name, row in self.found.items():
            say(f"\n{name}")
            for key, value in row.items():
                say(f"  {key:<28} {value}")
