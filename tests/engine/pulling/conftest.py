"""Files at an address of this machine, and a small model that is published there."""

import hashlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from server.config import Config, load
from server.engine.library import catalog
from server.engine.loading import load_members
from server.engine.pulling.registry import Address, Entry
from tests.engine.conftest import answering
from tests.engine.families.test_families import DEMUCS


class Shelf:
    """What lies there, and how it is served.

    Attributes:
        cut: bytes after which an answer ends.
        ranges: whether parts are served.
        heeds: whether `If-Range` is heeded.
        totals: whether a range beyond the file is told the file's size.
        tags, statuses: by name, headers that tell files apart, and answers in place of them.
        asked: names and ranges that were asked for.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut: int | None = None
        self.ranges = self.heeds = self.totals = True
        self.tags: dict[str, dict[str, str]] = {}
        self.statuses: dict[str, int] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.url = ""

    def sum(self, name: str) -> str:
        return hashlib.sha256(self.files[name]).hexdigest()


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    there = Shelf()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name, wanted = self.path.rpartition("/")[2], self.headers.get("Range")
            there.asked.append((name, wanted))
            body, tags = there.files.get(name), there.tags.get(name, {})
            if name in there.statuses or body is None:
                self.send_error(there.statuses.get(name, 404))
                return
            known = self.headers.get("If-Range")
            same = known is None or not there.heeds or known in tags.values()
            start = int(wanted[6:-1]) if wanted and there.ranges and same else 0
            if start and start >= len(body):
                self.send_response(416)
                if there.totals:
                    self.send_header("Content-Range", f"bytes */{len(body)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            for header, value in tags.items():
                self.send_header(header, value)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            self.wfile.write(body[start:][: there.cut])

        def log_message(self, *_: object) -> None:
            pass

    with answering(Handler) as there.url:
        yield there


def publish(shelf: Shelf, tmp_path: Path, network: torch.nn.Module, **more: Any) -> None:
    path = tmp_path / "published.ckpt"
    torch.save({"state_dict": network.state_dict()}, path)
    shelf.files = {"config.yaml": yaml.safe_dump(DEMUCS | more).encode(),
                   "model.ckpt": path.read_bytes()}


def entry(shelf: Shelf, **more: Any) -> Entry:
    addresses = {name: Address(f"{shelf.url}/x/{file}", shelf.sum(file), len(shelf.files[file]))
                 for name, file in (("config", "config.yaml"), ("weights", "model.ckpt"))}
    return Entry(family="demucs", about="drums", **addresses | {"licence": "MIT"} | more)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load(environ={}, flags={"server.data_dir": str(tmp_path)})


def installed(config: Config, name: str = "drumsep") -> catalog.ModelFiles:
    files = catalog.find(name, config)
    assert files is not None
    return files


def check_installed(config: Config, network: torch.nn.Module, name: str = "drumsep") -> None:
    """It is there as safetensors, with its own numbers, and nothing else is left."""
    files = installed(config, name)
    assert {path.name for path in files.folder.iterdir()} == {
        "config.yaml", "model.safetensors", f"{name}.pins.json"}
    (made,) = load_members(files).networks
    for key, value in network.state_dict().items():
        torch.testing.assert_close(made.state_dict()[key], value)
    assert {path.name for path in files.folder.parent.iterdir()} == {name, f".{name}.lock"}


def own(folder: Path, network: torch.nn.Module) -> Path:
    """A model's folder of one's own."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(DEMUCS))
    torch.save(network.state_dict(), folder / "model.ckpt")
    return folder
