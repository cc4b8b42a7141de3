"""The command line as scripts see it: what it prints, and how it exits."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from server.admin import asking
from server.admin.messages import CreateKey
from server.commands import accounts
from server.config import load
from server.errors import ConfigError
from server.jobs.disk.database import check_database
from server.jobs.disk.folders import Folders
from store.migrations import migrate
from tests.harness import stembox


def test_demo_prints_a_table_of_nine(tmp_path: Path) -> None:
    done = stembox("demo", "--seconds", 6, "--out", tmp_path / "demo", "--data-dir",
                   tmp_path / "data")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[1:10]]
    assert len({row[0] for row in rows}) == 9
    assert all(Path(row[-1]).is_file() for row in rows)
    for row in rows[:4]:
        assert float(row[3]) > float(row[4]), "better than the mix itself"


def test_models_list(tmp_path: Path) -> None:
    done = stembox("models", "list", "--data-dir", tmp_path)
    assert done.returncode == 0
    assert "starter" in done.stdout
    assert "wanted: htdemucs_ft" in done.stdout


def test_pull_without_a_network_is_one_line(tmp_path: Path) -> None:
    done = stembox("models", "pull", "htdemucs", "--data-dir", tmp_path, HF_HUB_OFFLINE="1")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("stembox: model htdemucs cannot be")


def test_what_cannot_work_stops_the_start(tmp_path: Path) -> None:
    bad = {"STEMBOX_FETCH__ALLOW_NETWORKS": "nonsense"}
    done = stembox("serve", "--data-dir", tmp_path, **bad)
    assert done.returncode == 1
    assert "fetch.allow_networks" in done.stderr
    (tmp_path / "secret").write_bytes(b"short")
    done = stembox("serve", "--data-dir", tmp_path)
    assert done.returncode == 1
    assert "secret is damaged" in done.stderr
    (tmp_path / "secret").unlink()
    with sqlite3.connect(tmp_path / "stembox.db") as database:
        database.execute("PRAGMA user_version = 9999")
    done = stembox("serve", "--data-dir", tmp_path)
    assert done.returncode == 1
    assert "newer than this stembox" in done.stderr
    (tmp_path / "stembox.db").unlink()
    (tmp_path / "stembox.db").mkdir()
    done = stembox("serve", "--data-dir", tmp_path)
    assert done.returncode == 1 and done.stdout == ""
    assert "stembox.db: unable to open database file" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_database_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    path, folders = tmp_path / "stembox.db", Folders(tmp_path)
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE t (x)")
        database.execute("PRAGMA user_version = 0")
    check_database(folders)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ConfigError, match="locked"):
            check_database(folders)


@pytest.mark.parametrize("left", [None, b""], ids=["gone", "empty"])
@pytest.mark.parametrize("place", ["outputs", "scratch", "uploads"])
def test_files_without_their_database_stop_the_start(
    tmp_path: Path, left: bytes | None, place: str
) -> None:
    """The first sweep would take them for nobody's."""
    folders = Folders(tmp_path)
    folders.create()
    if left is not None:
        (tmp_path / "stembox.db").write_bytes(left)
    (tmp_path / place / "lost+found").mkdir()
    (tmp_path / place / ".DS_Store").touch()
    check_database(folders)  # a first start
    (tmp_path / place / "song").mkdir()
    with pytest.raises(ConfigError, match=rf"stembox\.db is not there.* in {place}: put it back"):
        check_database(folders)


def test_no_key_makes_a_database_beside_files_that_have_lost_theirs(tmp_path: Path) -> None:
    """The next start would take it for the one that knows them, and sweep them all."""
    folders = Folders(tmp_path)
    folders.create()
    (folders.outputs / "song").mkdir()
    done = stembox("keys", "create", "--account", "ann", "--data-dir", tmp_path)
    assert done.returncode == 1 and "put it back" in done.stderr
    assert not (tmp_path / "stembox.db").exists()


def test_a_database_without_its_number_stops_the_start(tmp_path: Path) -> None:
    """`.dump`, by which damaged ones are mended, leaves it out."""
    path = tmp_path / "stembox.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        migrate(database)
        database.execute("PRAGMA user_version = 0")
    with pytest.raises(ConfigError, match="lost its schema's number"):
        check_database(Folders(tmp_path))


def test_a_full_disk_is_called_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stembox.db").mkdir()
    with pytest.raises(ConfigError, match=r"db: unable to open database file$"):
        check_database(Folders(tmp_path))
    full = shutil.disk_usage(tmp_path)._replace(free=0)
    monkeypatch.setattr("server.jobs.disk.database.shutil.disk_usage", lambda _: full)
    with pytest.raises(ConfigError, match="its disk is full"):
        check_database(Folders(tmp_path))


def test_a_key_is_all_that_is_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scripts keep what is printed; that no credits came with it is for who reads."""
    monkeypatch.setattr(asking, "carry_out", lambda *_: "sk_live_x\nnothing was added")
    assert accounts.carry_out(CreateKey("acme", 10.0), load(environ={})) == 0
    told = capsys.readouterr()
    assert (told.out, told.err) == ("sk_live_x\n", "stembox: nothing was added\n")


def test_a_key_whose_answer_is_lost_is_not_paid_twice(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "server.cli", "keys", "create", "--account", "ann",
             "--minutes", "1", "--data-dir", tmp_path],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=240, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert "it was carried out, and must not be given again" in done.stderr
    assert "revoke it" in done.stderr and "Traceback" not in done.stderr
    assert "60" in stembox("credits", "show", "--account", "ann", "--data-dir", tmp_path).stdout


@pytest.mark.parametrize("order", [["models", "list"], ["models", "list", "--known"]])
def test_output_that_nobody_can_take(order: list[str]) -> None:
    """In a line where the disk is full; in silence where whoever read has heard enough."""
    command = " ".join(["unset PYTHONUNBUFFERED;", sys.executable, "-m", "server.cli", *order])
    done = subprocess.run(f"{command} > /dev/full", shell=True, capture_output=True, text=True,
                          timeout=120, check=False)  # fmt: skip
    assert (done.returncode, done.stderr) == (
        1, "stembox: standard output: No space left on device\n")  # fmt: skip
    closed = subprocess.run(f"{command} >&-", shell=True, capture_output=True, text=True,
                            timeout=120, check=False)  # fmt: skip
    assert (closed.returncode, closed.stderr) == (0, "")
    shell = f"set -o pipefail; {command} | true"  # which may be gone before, or behind
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=120,
                          check=False)  # fmt: skip
    assert done.returncode in (0, 1) and done.stderr == ""


def test_a_print_that_fails_within_a_command_is_told_once() -> None:
    code = ("import sys; from server import cli;"
            "cli.load = lambda *_, **__: print('stem.wav', flush=True);"
            "sys.exit(cli.main(['models', 'list']))")  # fmt: skip
    usual = {name: text for name, text in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE,
                              text=True, timeout=120, check=False, env=usual)  # fmt: skip
    assert (done.returncode, done.stderr) == (
        1, "stembox: standard output: No space left on device\n")  # fmt: skip


def test_what_is_ignored_stays_ignored() -> None:
    """`nohup` in front: a closed terminal does not end what takes hours."""
    code = ("import os, signal; from server.commands.ending import at_signals; at_signals();"
            "os.kill(os.getpid(), signal.SIGHUP); print('on'); "
            "os.kill(os.getpid(), signal.SIGTERM)")  # fmt: skip
    done = subprocess.run(["nohup", sys.executable, "-c", code], capture_output=True, text=True,
                          timeout=60, check=False)  # fmt: skip
    assert (done.returncode, done.stdout) == (128 + 15, "on\n")


@pytest.mark.parametrize(("arguments", "code"), [
    (["--version"], 0),
    ([], 2),
    (["separate"], 2),
    (["nonsense"], 2),
    (["serve", "--port", "80"], 1),
    (["serve", "--config", "/nowhere.toml"], 1),
    (["serve", "--data-dir", "/proc/nowhere"], 1),
    (["separate", "a/x.wav", "b/x.mp3", "--out", "o"], 1),
    (["separate", "o/vocals/vocals.wav", "--out", "o"], 1),
    (["separate", "./o/../o/vocals/vocals.wav", "b.wav", "--out", "o"], 1),
    (["separate", "x.wav", "--out", "o", "--stems", "kazoo"], 1),
    (["separate", "x.wav", "--out", "o", "--stems", "bass", "--output-type", "BOTH"], 2),
    (["separate", "x.wav", "--out", "o", "--model", "gone"], 1),
    (["keys", "list", "--data-dir", "no/such/folder"], 1),
    (["keys", "create", "--account", "ann\udce9"], 2),
    (["keys", "revoke", "sk_\udce9"], 2),
    (["credits", "grant", "--account", "a", "--minutes", "1", "--reference", "\udce9"], 2),
    (["demo", "--seconds", "0"], 2),
    (["demo", "--seconds", "nan"], 2),
    (["demo", "--seconds", "0.00001"], 2),
    (["quality", ".", "--songs", "0"], 2),
    (["quality", ".", "--seconds", "-1"], 2),
    (["models", "pull", "mel_band_roformer_kim"], 1),
    (["models", "pull", "./no/such/folder"], 1),
])
def test_exit_codes(arguments: list[str], code: int) -> None:
    done = stembox(*arguments)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    if code == 1:
        assert len(done.stderr.strip().splitlines()) == 1
        assert done.stderr.startswith("stembox: ")


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    import socket
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = stembox("serve", "--port", taken.getsockname()[1], "--data-dir", tmp_path)
    assert done.returncode == 1
    assert "cannot listen on 127.0.0.1:" in done.stderr
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["lock"], \
        "a backup can still be restored here"


def test_a_card_that_is_not_there(tmp_path: Path) -> None:
    done = stembox("serve", "--data-dir", tmp_path, STEMBOX_SEPARATION__DEVICE="cuda:7",
                   CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 1
    assert "separation.device = cuda:7: 0 CUDA card(s)" in done.stderr


def test_standard_output_is_for_what_a_command_says(tmp_path: Path) -> None:
    """Programs read it: what is logged meanwhile goes elsewhere."""
    code = (
        "import structlog; from server import cli; said = cli.main(['models', 'list']);"
        "log = structlog.get_logger(); log.warning('a warning'); log.error('an error')"
    )
    environ = os.environ | {"STEMBOX_SERVER__DATA_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=True
    )
    assert "starter" in done.stdout
    assert "warning" not in done.stdout + done.stderr
    assert "error" not in done.stdout and "an error" in done.stderr
