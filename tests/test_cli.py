"""The command line as scripts see it: what it prints, and how it exits."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from server.admin import asking
from server.admin.messages import CreateKey
from server.commands import accounts
from server.config import load
from server.errors import ConfigError
from server.starter.songs import synthesise
from server.starter.store import save_bag, save_hub_model
from server.starting import check_database
from server.stems import SIX
from tests.engine.conftest import tiny
from tests.harness import wait_for


def stembox(*arguments: object, **environ: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "server.cli", *map(str, arguments)], text=True,
        capture_output=True, env=os.environ | environ, timeout=240, check=False,
    )


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("song") / "a song.wav"
    sf.write(path, np.sum(list(synthesise(2_000_101, 4).values()), axis=0).T, 44100)
    return path


def test_separate_both_adds_up_to_the_mix(song: Path, tmp_path: Path) -> None:
    done = stembox("separate", song, "--out", tmp_path, "--output-type", "BOTH",
                   "--format", "FLAC", "--data-dir", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    paths = [Path(line) for line in done.stdout.splitlines()]
    assert paths == [tmp_path / "a song" / f"{name}.flac" for name in ("vocals", "instrumental")]
    made = sum(sf.read(path)[0] for path in paths)
    assert np.abs(made - sf.read(song)[0]).max() < 4 / 32768
    assert sorted(path.name for path in (tmp_path / "a song").iterdir()) == [
        "instrumental.flac", "vocals.flac"], "no scratch is left"


def test_separate_stems_of_a_model(song: Path, tmp_path: Path) -> None:
    done = stembox("separate", song, "--out", tmp_path, "--model", "starter_fast",
                   "--stems", "guitar,bass", "--data-dir", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    assert "model starter_fast" in done.stderr
    assert {path.name for path in (tmp_path / song.stem).iterdir()} == {"guitar.wav", "bass.wav"}


PRESET = """steps = [
  { model = ["starter", "starter_fast"], stems = ["vocals", "drums"] },
  { input = "drums", model = "starter_fast", stems = { kit = "drums" } },
]"""


def test_separate_by_a_preset(song: Path, tmp_path: Path) -> None:
    done = stembox("separate", song, "--out", tmp_path, "--model", "kits",
                   "--data-dir", tmp_path / "data", STEMBOX_PRESETS__KITS=PRESET)
    assert done.returncode == 0, done.stderr
    assert "model kits" in done.stderr
    assert {path.name for path in (tmp_path / song.stem).iterdir()} == {"vocals.wav", "kit.wav"}


@pytest.mark.parametrize(("preset", "said"), [
    ("steps = [{ model = 'starter', stems = ['kazoo'] }]",
     "presets.kits, step 1: model starter makes no kazoo"),
    ("steps = [{ model = 'starter', input = 'kit' }]", "presets.kits, step 1: its input 'kit'"),
    ("steps = [{ model = 'nowhere' }]", "model nowhere is not on this machine"),
])  # fmt: skip
def test_a_preset_that_cannot_be_is_one_line(
    preset: str, said: str, song: Path, tmp_path: Path
) -> None:
    done = stembox("separate", song, "--out", tmp_path, "--model", "kits",
                   "--data-dir", tmp_path / "data", STEMBOX_PRESETS__KITS=preset)
    assert done.returncode == 1 and said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    if "nowhere" not in preset:
        served = stembox("serve", "--data-dir", tmp_path / "data", STEMBOX_PRESETS__KITS=preset)
        assert served.returncode == 1 and said in served.stderr


def test_models_are_listed_by_the_settings_that_are_named(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("[presets.kits]\n" + PRESET)
    place = ("--data-dir", tmp_path, "--config", tmp_path / "own.toml")
    for arguments in (("models", "list", *place), ("models", *place, "list")):
        done = stembox(*arguments)
        assert done.returncode == 0 and "\nkits " in done.stdout, done.stderr


def test_names_of_stems_lead_nowhere(song: Path, tmp_path: Path) -> None:
    """A model's file names its stems; they become names of files."""
    folder = tmp_path / "data" / "models" / "sly"
    folder.mkdir(parents=True)
    sources = ["vocals", "../../escaped"]
    save_hub_model(tiny(0, sources=sources), folder, "abcd")
    save_bag(folder, "sly", ["abcd"])
    done = stembox("separate", song, "--out", tmp_path / "out", "--model", "sly",
                   "--data-dir", tmp_path / "data")
    assert done.returncode == 1 and "is no name of a stem" in done.stderr
    assert not list(tmp_path.rglob("*escaped*"))


def test_separate_goes_on_after_a_bad_file(song: Path, tmp_path: Path) -> None:
    bad = tmp_path / "text.wav"
    bad.write_text("no sound")
    done = stembox("separate", bad, song, tmp_path / "none.wav", tmp_path,
                   "--out", tmp_path / "out", "--data-dir", tmp_path / "data")
    assert done.returncode == 1
    assert "text.wav: Unsupported audio format: .wav" in done.stderr
    assert "none.wav: no such file" in done.stderr
    assert f"{tmp_path}: this is a folder" in done.stderr
    assert [folder.name for folder in (tmp_path / "out").iterdir()] == [song.stem]
    assert len(done.stdout.splitlines()) == 4
    assert "Traceback" not in done.stderr


def test_separate_goes_on_after_a_file_that_cannot_be_opened(song: Path, tmp_path: Path) -> None:
    """And writes names as the disk has them, also those that are no UTF-8."""
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    shutil.copy(song, odd)
    shutil.copy(song, tmp_path / "...wav")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "taken").write_text("")
    taken, long = tmp_path / "taken.wav", tmp_path / f"{300 * 'a'}.wav"
    shutil.copy(song, taken)
    done = subprocess.run(
        [sys.executable, "-m", "server.cli", "separate", taken, long, odd, tmp_path / "...wav",
         "--out", tmp_path / "out", "--data-dir", tmp_path / "data", "--stems", "vocals"],
        capture_output=True, env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"}, timeout=240,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert b"taken.wav: " in done.stderr and b"File exists" in done.stderr
    assert b"a.wav: File name too long" in done.stderr and b"Traceback" not in done.stderr
    made = [os.fsencode(tmp_path / "out") + place for place in
            (b"/caf\xe9/vocals.wav", b"/song/vocals.wav")]  # fmt: skip
    assert done.stdout.splitlines() == made and all(map(os.path.exists, made))
    assert not (tmp_path / "vocals.wav").exists()


def test_a_full_disk_is_named(song: Path, tmp_path: Path) -> None:
    """Writing says that there is no room, and not where."""
    full = ("import errno, os, server.cli, server.offline\n"
            "def full(*_): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))\n"
            "server.offline.Offline.separate = full\n"
            "raise SystemExit(server.cli.main())")
    done = subprocess.run(
        [sys.executable, "-c", full, "separate", song, "--out", tmp_path / "out",
         "--data-dir", tmp_path / "data"],
        text=True, capture_output=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"stembox: {tmp_path}/out: No space left on device"


def test_six_stems_without_a_download(song: Path, tmp_path: Path) -> None:
    done = stembox("separate", song, "--out", tmp_path, "--output-type", "SIX_STEMS",
                   "--data-dir", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    assert [Path(line).stem for line in done.stdout.splitlines()] == list(SIX)


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
    path = tmp_path / "stembox.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE t (x)")
        database.execute("PRAGMA user_version = 0")
    check_database(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ConfigError, match="locked"):
            check_database(path)


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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_separate_that_is_told_to_stop_leaves_nothing(tmp_path: Path, number: int) -> None:
    long = tmp_path / "long.wav"
    sf.write(long, np.zeros((180 * 44100, 2), np.float32) + 0.1, 44100)
    out = tmp_path / "out"
    with subprocess.Popen(
        [sys.executable, "-m", "server.cli", "separate", long, "--out", out],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as running:  # fmt: skip
        wait_for(lambda: list(out.glob("long/.scratch-*/*.part")), 120)
        running.send_signal(number)
        said = running.communicate(timeout=60)[1]
    assert running.returncode == 128 + number
    assert "Traceback" not in said
    assert not out.exists() or not list(out.rglob("*.*"))


@pytest.mark.parametrize(("arguments", "code"), [
    (["--version"], 0),
    ([], 2),
    (["separate"], 2),
    (["nonsense"], 2),
    (["serve", "--port", "80"], 1),
    (["serve", "--config", "/nowhere.toml"], 1),
    (["serve", "--data-dir", "/proc/nowhere"], 1),
    (["separate", "a/x.wav", "b/x.mp3", "--out", "o"], 1),
    (["separate", "x.wav", "--out", "o", "--stems", "kazoo"], 1),
    (["separate", "x.wav", "--out", "o", "--stems", "bass", "--output-type", "BOTH"], 2),
    (["separate", "x.wav", "--out", "o", "--model", "gone"], 1),
    (["keys", "list", "--data-dir", "no/such/folder"], 1),
    (["keys", "create", "--account", "ann\udce9"], 2),
    (["keys", "revoke", "sk_\udce9"], 2),
    (["credits", "grant", "--account", "a", "--minutes", "1", "--reference", "\udce9"], 2),
    (["demo", "--seconds", "0"], 2),
    (["demo", "--seconds", "nan"], 2),
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
