"""A backup of a server that works, restored beside it: what was done is there, the rest goes on."""

import subprocess
import sys
from pathlib import Path

from tests.harness import Server, serving


def stembox(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "server.cli", *map(str, arguments)],
                          capture_output=True, text=True, timeout=240, check=False)


def test_a_working_server_is_backed_up_audited_and_restored(
    tmp_path: Path, songs: dict[str, Path]
) -> None:
    target = tmp_path / "b.tar"
    with serving(tmp_path / "data") as server:
        done = server.post(songs["mp3"]).json()["job_id"]
        assert server.end_of(done)["status"] == "completed"
        running = [server.post(songs["mp3"]).json()["job_id"] for _ in range(4)][-1]
        backup = stembox("backup", target, "--outputs", "--data-dir", server.data)
        assert backup.returncode == 0, backup.stderr
        assert server.job(running)["status"] == "processing", "the backup caught it at work"
        audit = stembox("audit", "--data-dir", server.data)
        assert audit.returncode == 0, audit.stdout
        track = server.get(f"/download/{done}/vocals").content
    restored = stembox("restore", target, "--data-dir", tmp_path / "new")
    assert restored.returncode == 0, restored.stderr
    again = Server(tmp_path / "new")
    again.start()
    try:
        assert again.get(f"/download/{done}/vocals").content == track
        assert again.end_of(running)["status"] == "completed"
        audit = stembox("audit", "--data-dir", again.data)
        assert audit.returncode == 0, audit.stdout
    finally:
        again.kill()
