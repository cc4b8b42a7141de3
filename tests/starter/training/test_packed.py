"""Packed banks: small, and the same songs again."""

import json

import numpy as np
import pytest
import torch

from server.starter.training.bank import SONG_SECONDS, SR
from server.starter.training.pack import pack
from server.starter.training.packed import GROUP, groups_of, part_file, parts_of, unpack

SAMPLES = round(SONG_SECONDS * SR)
PARTS = ("vocals", "instrumental")


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    """Nine songs of tones, each of its own pitch, sides of their own."""
    path = tmp_path_factory.mktemp("bank") / "tones.f16"
    shape = (GROUP + 1, len(PARTS), 2, SAMPLES)
    songs = np.memmap(path, np.float16, "w+", shape=shape)
    t = np.arange(SAMPLES) / SR
    for song in range(GROUP + 1):
        for part in range(2):
            for side in range(2):
                hertz = 200 + 40 * song + 11 * part + 5 * side
                songs[song, part, side] = 0.3 * np.sin(2 * np.pi * hertz * t)
    songs.flush()
    path.with_suffix(".json").write_text(json.dumps(PARTS))
    return path, torch.from_numpy(songs).float()


def test_what_was_packed_is_unpacked(bank, tmp_path):
    path, songs = bank
    pack(path, tmp_path, range(2), 32000)
    assert parts_of(tmp_path) == PARTS and list(groups_of(tmp_path)) == [0, 1]
    assert sum(f.stat().st_size for f in tmp_path.iterdir()) < path.stat().st_size / 20
    made = torch.cat([unpack(tmp_path, group).songs.float() for group in (0, 1)])
    assert made.shape == songs.shape
    error = (made - songs).square().mean((1, 2, 3)) / songs.square().mean((1, 2, 3))
    assert error.max() < 0.02, "delayed by samples, or songs exchanged"


def test_a_group_that_has_not_wholly_come_is_left_for_later(bank, tmp_path):
    pack(bank[0], tmp_path, range(1, 2), 24000)
    assert list(groups_of(tmp_path)) == [1]
    part_file(tmp_path, 1, "instrumental").unlink()
    assert not list(groups_of(tmp_path))
