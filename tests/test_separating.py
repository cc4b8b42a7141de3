"""`stembox separate` as scripts see it: what it writes and says, and what it leaves behind."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from server.starter.songs import synthesise
from server.starter.store import save_bag, save_hub_model
from server.stems import SIX
from tests.engine.conftest import tiny
from tests.harness import on_its_own, stembox, wait_for


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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_separate_that_is_told_to_stop_leaves_nothing(tmp_path: Path, number: int) -> None:
    long = tmp_path / "long.wav"
    sf.write(long, np.zeros((180 * 44100, 2), np.float32) + 0.1, 44100)
    out = tmp_path / "out"
    with subprocess.Popen(
        [sys.executable, "-m", "server.cli", "separate", long, "--out", out],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=on_its_own,
    ) as running:  # fmt: skip
        wait_for(lambda: list(out.glob("long/.scratch-*/*.part")), 120)
        running.send_signal(number)
        said = running.communicate(timeout=60)[1]
    assert running.returncode == 128 + number
    assert "Traceback" not in said
    assert not out.exists() or not list(out.rglob("*.*"))
