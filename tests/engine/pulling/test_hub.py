"""Pulling from a hub on this machine: the published client, over HTTP, as it calls the real one."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from server.cli import main
from server.config import load
from server.engine.library import catalog
from server.engine.loading import load_members
from server.errors import ModelError
from server.starter.store import save_bag, save_hub_model
from tests.engine.conftest import answering, tiny

FIRST, SECOND = "1" * 40, "2" * 40


class Hub:
    """One repository with its revisions, the newest last."""

    def __init__(self) -> None:
        self.revisions: dict[str, dict[str, bytes]] = {}
        self.lies: set[str] = set()  # files whose hash the hub gives wrongly

    def publish(self, revision: str, files: dict[str, bytes]) -> None:
        self.revisions[revision] = files

    def describe(self, revision: str) -> bytes:
        siblings = [
            {"rfilename": name, "size": len(data), "blobId": "b", "lfs": {
                "sha256": "0" * 64 if name in self.lies else hashlib.sha256(data).hexdigest(),
                "size": len(data), "pointerSize": 1}}
            for name, data in self.revisions[revision].items()
        ]
        return json.dumps({"id": "adefossez/HTDemucs", "sha": revision, "siblings": siblings,
                           "private": False, "tags": [], "downloads": 0, "likes": 0}).encode()

    def answer(self, path: str) -> tuple[bytes, dict[str, str]] | None:
        parts = path.partition("?")[0].strip("/").split("/")
        if parts[:3] == ["api", "models", "adefossez"]:
            revision = parts[5] if parts[4:5] == ["revision"] else [*self.revisions][-1]
            return (self.describe(revision), {}) if revision in self.revisions else None
        if len(parts) == 5 and parts[2] == "resolve":
            data = self.revisions.get(parts[3], {}).get(parts[4])
            if data is not None:
                etag = hashlib.sha256(data).hexdigest()
                return data, {"ETag": f'"{etag}"', "X-Repo-Commit": parts[3]}
        return None


@pytest.fixture
def hub() -> Iterator[Hub]:
    there = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = there.answer(self.path)
            self.send_response(404 if found is None else 200)
            body, headers = found or (b"", {})
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with answering(Handler) as there.url:
        yield there


def model(folder: Path, seed: int) -> dict[str, bytes]:
    """The files of a repository."""
    folder.mkdir()
    save_hub_model(tiny(seed), folder, "abcd")
    save_bag(folder, "htdemucs", ["abcd"])
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def pull(hub: Hub, data: Path, wanted: str = "htdemucs") -> subprocess.CompletedProcess[str]:
    """The command, in a process of its own: the client reads its hub's address once."""
    return subprocess.run(
        [sys.executable, "-m", "server.cli", "models", "pull", wanted, "--data-dir", str(data)],
        env=os.environ | {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1",
                          "HF_HOME": str(data / "hf")},
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip


def found(data: Path) -> catalog.ModelFiles:
    files = catalog.find("htdemucs", load(environ={}, flags={"server.data_dir": str(data)}))
    assert files is not None
    return files


def test_a_pulled_model_is_pinned(hub: Hub, tmp_path: Path) -> None:
    data = tmp_path / "data"
    first, second = model(tmp_path / "one", 1), model(tmp_path / "two", 2)
    hub.publish(FIRST, first)
    answer = pull(hub, data)
    assert answer.returncode == 0, answer.stderr
    assert "scientific purposes only" in answer.stdout, "what its author says of the weights"
    size = len(first["abcd.safetensors"]) / 1e6
    assert f"  size     {size:.0f} MB\n" in answer.stdout
    assert catalog.licence(found(data)) == catalog.HUB_LICENCE
    folder = data / "models" / "htdemucs"
    assert {name: (folder / name).read_bytes() for name in first} == first
    pinned = json.loads((folder / "htdemucs.pins.json").read_text())
    assert pinned == {"revision": FIRST, "sha256": {
        name: hashlib.sha256(content).hexdigest() for name, content in first.items()}}
    assert {path.name for path in (data / "models").iterdir()} == {"htdemucs", ".htdemucs.lock"}
    assert load_members(found(data)).networks

    hub.publish(SECOND, second)  # a newer revision changes nothing, until it is named
    answer = pull(hub, data)
    assert answer.returncode == 0 and "htdemucs is here already" in answer.stderr
    assert (folder / "abcd.safetensors").read_bytes() == first["abcd.safetensors"]
    assert pull(hub, data, f"htdemucs@{SECOND}").returncode == 0
    assert (folder / "abcd.safetensors").read_bytes() == second["abcd.safetensors"]
    assert json.loads((folder / "htdemucs.pins.json").read_text())["revision"] == SECOND
    assert load_members(found(data)).networks

    (folder / "htdemucs.yaml").write_bytes(b"lost")
    assert pull(hub, data).returncode == 0, "it is fetched again"
    assert (folder / "htdemucs.yaml").read_bytes() == second["htdemucs.yaml"]
    (folder / "htdemucs.yaml").write_bytes(b"lost")
    hub.revisions[SECOND] = first | {"htdemucs.yaml": second["htdemucs.yaml"]}
    answer = pull(hub, data)  # the same revision with other bytes: somebody lies
    assert answer.returncode == 1
    assert "other files for revision" in answer.stderr and "abcd.safetensors" in answer.stderr
    assert (folder / "abcd.safetensors").read_bytes() == second["abcd.safetensors"]


def test_of_a_name_that_nobody_knows_no_licence_is_told(hub: Hub, tmp_path: Path) -> None:
    answer = pull(hub, tmp_path / "data", "nobodys")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert "model nobodys cannot be fetched" in answer.stderr


@pytest.mark.parametrize("name", ["starter", "starter_fast"])
def test_what_ships_is_not_asked_for(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "pull", name, "--data-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{name} ships with stembox: there is nothing to pull\n"


def test_a_file_that_was_changed_afterwards_is_not_loaded(hub: Hub, tmp_path: Path) -> None:
    data = tmp_path / "data"
    hub.publish(FIRST, model(tmp_path / "one", 1))
    assert pull(hub, data).returncode == 0
    folder = data / "models" / "htdemucs"
    for name in ("abcd.safetensors", "htdemucs.yaml"):
        good = (folder / name).read_bytes()
        (folder / name).write_bytes(good + b"\n")
        with pytest.raises(ModelError, match=f"{name} is not what was pulled"):
            load_members(found(data))
        (folder / name).write_bytes(good)
    save_bag(folder, "htdemucs", ["abcd", "efgh"])
    save_hub_model(tiny(3), folder, "efgh")  # beside what was pulled
    with pytest.raises(ModelError, match="is not what was pulled"):
        load_members(found(data))
    for pins in (b"{", b'{"revision": 1}', b'{"revision": "", "sha256": {}}'):
        (folder / "htdemucs.pins.json").write_bytes(pins)
        with pytest.raises(ModelError):
            load_members(found(data))


def test_what_arrives_wrongly_changes_nothing(hub: Hub, tmp_path: Path) -> None:
    data = tmp_path / "data"
    hub.publish(FIRST, model(tmp_path / "one", 1))
    hub.lies.add("abcd.safetensors")
    answer = pull(hub, data)
    assert answer.returncode == 1 and "did not arrive" in answer.stderr
    hub.lies.clear()
    hub.publish(FIRST, {"htdemucs.yaml": b"models: [../../../sly]"})
    answer = pull(hub, data)
    assert answer.returncode == 1 and "signature" in answer.stderr
    assert pull(hub, data, f"htdemucs@{SECOND}").returncode == 1
    assert not (data / "models" / "htdemucs").exists()
