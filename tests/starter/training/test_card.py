"""Training by all of a machine: what was brought and what is made meanwhile are learnt from."""

import json
import os
import shutil
import signal
import sys
import time

import numpy as np
import pytest
import torch

from server.starter.songs import STEMS
from server.starter.training import card
from server.starter.training.bank import SONG_SECONDS, SR
from server.starter.training.card import FIRST_SEED, Feeder
from server.starter.training.pack import pack
from server.starter.training.sizes import build_model

SAMPLES = round(SONG_SECONDS * SR)
TINY = {"channels": 8, "blocks": 1, "dim": 16, "layers": 1, "segment": 1}


def eventually(holds) -> None:
    until = time.monotonic() + 240
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.fixture
def packed(tmp_path):
    """Two clips of noise as music, in the folder of packed banks."""
    path = tmp_path / "noise.f16"
    noise = np.random.default_rng(0).normal(0, 0.1, (2, 1, 2, SAMPLES))
    noise.astype(np.float16).tofile(path)
    path.with_suffix(".json").write_text(json.dumps(["instrumental"]))
    pack(path, tmp_path / "packed" / "noise", range(1), 24000)
    return tmp_path / "packed"


def test_the_cores_unpack_and_compose(packed, tmp_path):
    (shelf := tmp_path / "shelf").mkdir()
    feeder = Feeder(shelf, packed, workers=1, songs=1)
    feeder.start()
    wanted = {"noise-0000.instrumental.f16", f"made-{FIRST_SEED}.{'+'.join(STEMS)}.f16"}
    eventually(lambda: {path.name for path in shelf.glob("[!.]*")} == wanted)
    feeder.stopped.set()
    feeder.join()
    (music,) = shelf.glob("noise*")
    assert music.stat().st_size == 2 * 2 * SAMPLES * 2
    (made,) = shelf.glob("made*")
    song = np.fromfile(made, np.float16).reshape(6, 2, SAMPLES)
    assert song.any() and np.isfinite(song).all()


def test_what_cannot_be_unpacked_is_told_and_the_rest_goes_on(packed, tmp_path, capsys):
    (shelf := tmp_path / "shelf").mkdir()
    shutil.copytree(packed / "noise", packed / "broken")
    (packed / "broken" / "0000.instrumental.opus").write_bytes(b"no Opus")
    feeder = Feeder(shelf, packed, workers=1, songs=0)
    feeder.start()
    eventually(lambda: bool(list(shelf.glob("noise*"))))
    feeder.stopped.set()
    feeder.join()
    assert "not made: LibsndfileError" in capsys.readouterr().out


def test_both_networks_come_out(packed, tmp_path, monkeypatch):
    monkeypatch.setattr(card, "build_model", lambda size: build_model(**TINY))
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", [
        "card", "--out", str(out), "--minutes", "1e-9", "--packed", str(packed), "--batch", "1",
        "--room", "0.002", "--songs", "1", "--check", "1", "--fresh", "--workers", "1",
        "--device", "cpu"])  # fmt: skip
    card.main()
    for name in ("masks", "voice"):
        state = torch.load(out / name / "decay.pt", weights_only=True)["run"]
        assert state["step"] >= 2 and state["decay"] > 0
        assert (out / name / f"{name}.safetensors").exists()


def test_waiting_for_the_first_song_can_be_ended(packed, tmp_path, monkeypatch):
    """A card is lent for minutes: nothing of them is spent on songs that never come."""
    monkeypatch.setattr(card, "build_model", lambda size: build_model(**TINY))
    monkeypatch.setattr(card.time, "sleep", lambda _: os.kill(os.getpid(), signal.SIGTERM))
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", [
        "card", "--out", str(out), "--minutes", "60", "--packed", str(tmp_path / "nothing"),
        "--songs", "0", "--check", "1", "--fresh", "--workers", "1", "--room", "0.002",
        "--device", "cpu"])  # fmt: skip
    card.main()
    assert not list(out.rglob("*.pt"))
