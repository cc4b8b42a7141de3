"""`python -m loadtests.traffic [--traffic NAME]`: locust against a server that is started for it,
or with `--host` and `--key` against one that runs. Other options go on to locust.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path

from loadtests.traffic.own_server import own_server
from loadtests.traffic.profile import load_profile
from loadtests.traffic.watch import Watch

LOCUSTFILE = Path(__file__).parents[1] / "locustfile.py"
SAMPLE_S = 2.0


def main() -> int:
    """The exit code is locust's: 0 where all thresholds were kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traffic", default="cores2", help="a name, or a .toml file")
    parser.add_argument("--host", help="a server that runs; default: one is started")
    parser.add_argument("--key", default="", help="of the StemSplit API, for a server that runs")
    parser.add_argument("--report", default="load-report", help="folder for what was found")
    asked, more = parser.parse_known_args()
    try:
        profile = load_profile(asked.traffic)
    except ValueError as error:
        parser.error(str(error))
    arguments = ["--traffic", asked.traffic, "--report", asked.report, *more]
    with ExitStack() as stack:
        text = Path(asked.report) / "verdict.txt"
        text.unlink(missing_ok=True)
        stack.callback(show, text)
        if asked.host:
            return locust([*arguments, "--host", asked.host, "--key", asked.key])
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stembox-load-")))
        server = stack.enter_context(own_server(folder / "data", profile.settings))
        ended, samples = threading.Event(), folder / "samples"
        watch = Watch(server.pid, server.data, server.kinds)
        watcher = threading.Thread(target=keep, args=(watch, samples, ended))
        watcher.start()
        stack.callback(watcher.join)
        stack.callback(ended.set)
        return locust([*arguments, "--host", server.url, "--key", server.key(), "--webhook-host",
                       "127.0.0.1", "--samples", str(samples)])  # fmt: skip


def show(path: Path) -> None:
    """Prints a verdict, if there is one."""
    if path.exists():
        print(f"\n{path.read_text(encoding='utf-8')}\n{path.parent}: verdict.json, .txt, .png")


def locust(arguments: list[str]) -> int:
    """Runs it without its page; its exit code."""
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless",
               "--only-summary", "--loglevel", "WARNING", "--stop-timeout", "20"]  # fmt: skip
    return subprocess.run([*command, *arguments], stdout=subprocess.DEVNULL).returncode


def keep(watch: Watch, path: Path, ended: threading.Event) -> None:
    """Samples into a file, a line each, until `ended`."""
    with path.open("a", encoding="utf-8") as file:
        while not ended.wait(SAMPLE_S):
            print(json.dumps(watch.sample()._asdict()), file=file, flush=True)


if __name__ == "__main__":
    sys.exit(main())
