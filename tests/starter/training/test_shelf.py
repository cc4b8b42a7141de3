"""A shelf: songs come to the bank of their parts, as far as there is room."""

import torch

from server.starter.training import shelf as module
from server.starter.training.bank import Bank
from server.starter.training.shelf import SAMPLES, Room, Shelf, put

MUSIC, SUNG = ("instrumental",), ("vocals", "instrumental")
ROOMS = {MUSIC: Room(3, 0.5), SUNG: Room(2)}


def songs(parts, *levels: float) -> Bank:
    shape = (-1, len(parts), 2, SAMPLES)
    return Bank(torch.tensor(levels)[:, None, None, None].expand(shape).half().clone(), parts)


def levels(bank: Bank) -> list[float]:
    return [round(float(x), 3) for x in bank.songs[:, 0, 0, 7]]


def test_a_shelf_fills_its_banks_as_files_come(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", -1.0)
    shelf = Shelf(tmp_path, ROOMS)
    assert shelf.banks() == []
    put(tmp_path, "a", songs(MUSIC, 0.125, 0.25))
    (bank,) = shelf.banks()
    assert bank.parts == MUSIC and bank.share == 0.5 and levels(bank) == [0.125, 0.25]
    put(tmp_path, "b", songs(SUNG, 0.5))
    put(tmp_path, "c", songs(MUSIC, 0.75, 1.0))
    music, sung = shelf.banks()
    assert levels(music) == [0.125, 0.25, 0.75], "no more than there is room for"
    assert sung.parts == SUNG and levels(sung) == [0.5]
    assert not list(tmp_path.iterdir()), "what was taken is off the shelf"


def test_what_nobody_asked_for_or_is_half_written_is_not_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", -1.0)
    put(tmp_path, "a", songs(("drums",), 0.5))
    (tmp_path / ".b.instrumental.f16.part").write_bytes(b"half")
    assert Shelf(tmp_path, ROOMS).banks() == []
