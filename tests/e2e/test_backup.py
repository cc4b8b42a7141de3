"""A backup of a server that works, restored beside it: what was done is there, the rest goes on."""

import os
import signal
from pathlib import Path

from server.upkeep.looking import findings
from server.upkeep.restore import restore
from tests.harness import serving, wait_for
from tests.upkeep.backing_up import backup, silent


def test_a_working_server_is_backed_up_audited_and_restored(
    tmp_path: Path, songs: dict[str, Path]
) -> None:
    """One song is in the middle of its separation, another one has just come."""
    target, new = tmp_path / "b.tar", tmp_path / "new"
    with serving(tmp_path / "data", jobs__stall_seconds=600) as server:
        done = server.post(songs["mp3"]).json()["job_id"]
        assert server.end_of(done)["status"] == "completed"
        os.kill(server.pid_of("separation-0"), signal.SIGSTOP)  # no song ends before the backup
        running = [server.post(songs["mp3"]).json()["job_id"]]
        wait_for(lambda: server.in_hand("separation-0"))
        running.append(server.post(songs["mp3"]).json()["job_id"])
        backup(server.data, target)
        for job in running:
            assert server.job(job)["status"] == "processing", "the backup caught it at work"
        assert findings(server.data, silent) == []
        track = server.get(f"/download/{done}/vocals").content
    assert restore(target, new, silent).findings == []
    with serving(new) as again:
        assert again.get(f"/download/{done}/vocals").content == track
        assert {again.end_of(job)["status"] for job in running} == {"completed"}
        assert findings(again.data, silent) == []
