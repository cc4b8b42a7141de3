"""The audit finds every broken promise by its name, and nothing where all hold."""

import sqlite3
from pathlib import Path

import pytest

from server.errors import StemboxError
from server.upkeep import looking
from store.migrations import available
from tests.store.conftest import new_job
from tests.upkeep.places import Room, change, files, look, make

HELD = "UPDATE ledger SET {} WHERE job_id = 'done' AND kind = '{}'"
DELIVERY = "UPDATE deliveries SET {} WHERE job_id = 'told' AND webhook_id IS NULL"


def test_a_sound_directory_has_no_findings(tmp_path: Path) -> None:
    data = make(tmp_path / "data")
    assert look(data) == []
    assert list((data / "snapshots").iterdir()) == []


@pytest.mark.parametrize(("statement", "found"), [
    (HELD.format("balance = balance + 1", "hold"), "ledger_adds_up account"),
    (HELD.format("seconds = 29", "capture"), "ends_have_their_hold job done"),
    ("DELETE FROM ledger WHERE job_id = 'done' AND kind = 'hold'", "ends_have_their_hold job done"),
    ("DELETE FROM ledger WHERE job_id = 'done' AND kind = 'hold'", "known_jobs_are_held job done"),
    ("DELETE FROM ledger WHERE job_id = 'done' AND kind = 'capture'",
     "credits_follow_the_job job done"),
    (HELD.format("kind = 'release'", "capture"), "credits_follow_the_job job done"),
    ("UPDATE ledger SET kind = 'capture' WHERE job_id = 'failed' AND kind = 'release'",
     "credits_follow_the_job job failed"),
    ("UPDATE ledger SET kind = 'release' WHERE job_id = 'expired' AND kind = 'capture'",
     "credits_follow_the_job job expired"),
    ("INSERT INTO ledger (account_id, job_id, kind, seconds, balance, created_at)"
     " SELECT account_id, 'waiting', 'release', 30, balance + 30, 1.0 FROM ledger"
     " ORDER BY id DESC LIMIT 1", "credits_follow_the_job job waiting"),
    ("INSERT INTO ledger (account_id, job_id, kind, seconds, balance, created_at)"
     " SELECT account_id, 'done', 'release', 30, balance + 30, 1.0 FROM ledger"
     " ORDER BY id DESC LIMIT 1", "holds_end_once job done"),
    ("INSERT INTO ledger (account_id, job_id, kind, seconds, balance, created_at)"
     " SELECT account_id, 'done', 'refund', 31, balance + 31, 1.0 FROM ledger"
     " ORDER BY id DESC LIMIT 1", "refunds_have_their_capture job done"),
    ("INSERT INTO ledger (account_id, kind, seconds, balance, created_at, number)"
     " SELECT account_id, 'grant', 1, balance + 1, 1.0, 99 FROM ledger ORDER BY id DESC LIMIT 1",
     "ledger_is_numbered account"),
    ("UPDATE jobs SET request = '{\"seconds\": 31.5}' WHERE id = 'waiting'",
     "known_jobs_are_held job waiting"),
    ("UPDATE jobs SET request = json_set(request, '$.test', json('true')) WHERE id = 'done'",
     "test_jobs_cost_nothing job done"),
    ("UPDATE jobs SET account_id = (SELECT max(id) FROM accounts) || 'x' WHERE id = 'done'",
     "owners_pay job done"),
    ("DELETE FROM ledger WHERE job_id = 'done'", "completed_jobs_are_paid job done"),
    ("UPDATE jobs SET completed_at = NULL WHERE id = 'done'", "ended_jobs_say_when job done"),
    ("UPDATE jobs SET error = NULL WHERE id = 'failed'", "ended_jobs_say_when job failed"),
    ("UPDATE stages SET state = 'pending' WHERE job_id = 'done'",
     "jobs_follow_their_stages job done"),
    ("UPDATE stages SET state = 'processing', lease = 'x' WHERE job_id = 'cancelled'",
     "jobs_follow_their_stages job cancelled"),
    ("UPDATE stages SET state = 'completed', lease = NULL WHERE job_id = 'running'",
     "running_jobs_can_end job running"),
    ("INSERT INTO stage_needs (job_id, stage, needs) VALUES ('waiting', 'decode', 'encode/vocals')",
     "running_jobs_can_end job waiting"),
    ("UPDATE stages SET due = NULL WHERE job_id = 'waiting' AND name = 'decode'",
     "stages_have_their_place job waiting"),
    ("UPDATE stages SET ready = 1 WHERE job_id = 'waiting' AND name = 'encode/vocals'",
     "stages_have_their_place job waiting"),
    ("UPDATE tallies SET rows = rows + 1 WHERE list = 'jobs' AND kind = 'completed'",
     "lists_are_counted account"),
    ("DELETE FROM tallies WHERE list = 'deliveries'", "lists_are_counted account"),
    ("INSERT INTO tallies SELECT list, account_id, shift, 7, kind, 1 FROM tallies",
     "lists_are_counted account"),
    ("DELETE FROM stages WHERE job_id = 'waiting' AND name = 'decode'",
     "needs_exist job waiting"),
    ("DELETE FROM tracks WHERE job_id = 'done'", "completed_jobs_have_tracks job done"),
    (DELIVERY.format("event = 'job.failed'"), "events_tell_the_truth delivery"),
    ("DELETE FROM deliveries WHERE job_id = 'told' AND webhook_id IS NULL",
     "callbacks_have_their_event job told"),
    (DELIVERY.format("next_at = next_at + 1e6"), "waiting_deliveries_will_go delivery"),
    ("UPDATE webhooks SET is_active = 0", "waiting_deliveries_will_go delivery"),
    ("UPDATE jobs SET account_id = 'nobody' WHERE id = 'done'", "references_exist jobs"),
    ("UPDATE uploads SET size = size + 1", "uploads_are_kept uploads/ann/random/input.mp3"),
    ("UPDATE tracks SET size = size + 1 WHERE job_id = 'done'", "tracks_are_whole job done"),
    ("UPDATE jobs SET state = 'expired', expired_at = 1.0 WHERE id = 'done'",
     "files_belong_to_somebody outputs/done"),
    ("SELECT 1", "schema_is_ours trigger job_is_over"),
    ("CREATE TABLE strange (x)", "schema_is_ours table strange"),
    ("DELETE FROM uploads", "files_belong_to_somebody uploads/random"),
])  # fmt: skip
def test_what_is_broken_in_the_database(tmp_path: Path, statement: str, found: str) -> None:
    data = make(tmp_path / "data")
    change(data, statement)
    before = files(data)
    assert any(line.startswith(found) for line in look(data)), look(data)
    assert look(data) != [] and files(data) == before, "it mends nothing"


@pytest.mark.parametrize(("name", "data", "found"), [
    ("outputs/done/vocals.mp3", None, "tracks_are_whole job done"),
    ("outputs/pipeline/vocals.mp3", b"cut", "tracks_are_whole job pipeline"),
    ("outputs/done/vocals.mp3.77.part", b"half", "files_belong_to_somebody outputs/done/"),
    ("scratch/waiting/input", None, "unfinished_jobs_have_inputs job waiting"),
    ("scratch/measuring/input", None, "unfinished_jobs_have_inputs job measuring"),
    ("scratch/running/input", None, "unfinished_jobs_have_inputs job running"),
    ("scratch/nobody", b"x", "files_belong_to_somebody scratch/nobody"),
    ("uploads/random", None, "uploads_are_kept uploads/ann/random"),
    ("uploads/other", b"x", "files_belong_to_somebody uploads/other"),
    ("secret", None, "secrets_are_kept secret"),
    ("secret", b"short", "secrets_are_kept secret"),
])
def test_what_is_broken_on_disk(
    tmp_path: Path, name: str, data: bytes | None, found: str
) -> None:
    root = make(tmp_path / "data")
    if data is None:
        (root / name).unlink()
    else:
        (root / name).write_bytes(data)
    assert [line for line in look(root) if line.startswith(found)], look(root)
    assert len(look(root)) == 1, "and nothing else"


def test_an_event_that_is_sent_by_hand_to_a_disabled_webhook_is_no_finding(tmp_path: Path) -> None:
    data = make(tmp_path / "data")
    by_hand = "UPDATE deliveries SET by_hand = 1 WHERE webhook_id IS NOT NULL AND state = 'waiting'"
    change(data, "UPDATE webhooks SET is_active = 0", by_hand)
    assert broken(data) == []


def test_a_render_that_runs_is_no_finding(tmp_path: Path) -> None:
    data = make(tmp_path / "data")
    (data / "outputs/done/mixes").mkdir()
    (data / "outputs/done/mixes/a.wav.77.part").write_bytes(b"half")
    assert look(data) == []


def test_one_changed_byte_of_a_track(tmp_path: Path) -> None:
    data = make(tmp_path / "data")
    track = data / "outputs/done/vocals.mp3"
    whole = track.read_bytes()
    track.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    assert look(data) == ["tracks_are_whole job done"]


def test_a_secret_that_others_may_read(tmp_path: Path) -> None:
    data = make(tmp_path / "data")
    (data / "secret").chmod(0o644)
    assert look(data) == ["secrets_are_kept secret"]


def test_a_damaged_database_is_said_and_nothing_else(tmp_path: Path) -> None:
    data = make(tmp_path / "data")
    change(data, "PRAGMA wal_checkpoint(TRUNCATE)")
    with open(data / "stembox.db", "r+b") as file:
        for page in range(3, 20):
            file.seek(page * 4096 + 8)
            file.write(b"\xff" * 64)
    try:
        found = set(look(data))
    except StemboxError as error:  # SQLite would not even copy it
        found = {error.message}
    assert len(found) == 1 and "database" in found.pop()


def test_what_is_only_under_way_is_no_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An input lies there a moment before its row is written."""
    data = make(tmp_path / "data")
    (data / "scratch" / "late").mkdir()
    (data / "scratch" / "nobody").mkdir()

    def meanwhile(_: float) -> None:
        async def accept(room: Room) -> None:
            await room.jobs.create(new_job("late", room.now))
            (data / "scratch" / "late" / "input").write_bytes(b"x")

        make(data, accept)

    monkeypatch.setattr(looking.time, "sleep", meanwhile)
    found = looking.findings(data, lambda name, done: None)
    assert [finding.subject for finding in found] == ["scratch/nobody"]


def test_no_directory_is_made_where_none_is(tmp_path: Path) -> None:
    with pytest.raises(StemboxError, match="no database"):
        look(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_an_older_schema_is_audited_as_it_is(tmp_path: Path) -> None:
    """The copy is brought up to date, and the database stays."""
    data = make(tmp_path / "data")
    (data / "stembox.db").unlink()
    for name in ("outputs", "scratch", "uploads"):
        for path in sorted((data / name).rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
    db = sqlite3.connect(data / "stembox.db", isolation_level=None)
    for number, sql in available()[:2]:
        db.executescript(f"{sql}\nPRAGMA user_version = {number};")
    assert look(data) == []
    assert db.execute("PRAGMA user_version").fetchone() == (2,)
    db.close()


def broken(root: Path) -> list[str]:
    """What is, besides the triggers that a change by hand puts away."""
    return [line for line in look(root) if not line.startswith("schema_is_ours")]


def told_before(name: str, days: float) -> tuple[str, ...]:
    """A job and what was told of it, so long ago."""
    return (
        f"UPDATE jobs SET completed_at = completed_at - {days * 86400} WHERE id = '{name}'",
        f"UPDATE deliveries SET state = 'delivered', created_at = created_at - {days * 86400}"
        f" WHERE job_id = '{name}'",
    )


def test_what_is_forgotten_in_time_is_not_missed(tmp_path: Path) -> None:
    """`jobs.deliveries_days` may be as little as one."""
    data = make(tmp_path / "data")
    change(data, *told_before("told", 1.5), *told_before("done", 3.0))
    forget = "DELETE FROM deliveries WHERE job_id = '{}'"
    change(data, forget.format("done"), forget.format("told"))
    assert broken(data) == []


def test_what_ended_after_one_that_is_still_known_is_missed(tmp_path: Path) -> None:
    data = make(tmp_path / "data")
    change(data, *told_before("told", 1.5), *told_before("done", 3.0))
    change(data, "DELETE FROM deliveries WHERE job_id = 'told'")
    assert broken(data) == ["callbacks_have_their_event job told"]


def test_an_upload_that_made_room_for_newer_ones_is_not_missed(tmp_path: Path) -> None:
    data = make(tmp_path / "data")
    change(data, "UPDATE uploads SET used_at = 1.0, gone = 1")
    (data / "uploads/random").unlink()
    assert broken(data) == []
