"""What the tests stand on: a run that is killed leaves nothing behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from tests.harness import survivors, wait_for

RUNNER = """
import sys
from pathlib import Path
from tests.harness import Server
server = Server(Path(sys.argv[1]))
server.start(ready=False)
print(server.process.pid, flush=True)
sys.stdin.read()
"""


def test_servers_die_with_a_run_that_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", RUNNER, str(tmp_path / "data")],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as runner:
        server = psutil.Process(int(runner.stdout.readline()))
        wait_for(lambda: len(server.children()) >= 4)
        family = [server, *server.children(recursive=True)]
        os.kill(runner.pid, signal.SIGKILL)
        left = survivors(family, 60)
        for process in left:
            process.kill()
        assert not left
