"""Stem files: what an ordinary player and one that knows the format find in them."""

import json
import struct
from pathlib import Path

import av
import numpy as np
import pytest

from server.audio.rendering.mixdown import Part
from server.audio.rendering.stem_file import StemTrack, insert_atom, stem_file
from server.audio.writing.encode import encode
from server.work.steps import finish

from .making import song, write_mix

FRAMES = 3 * 44100 + 11
NAMES = ("Drums", "Bass", "Other", "Vocals")
STEP = 2**-15


def atoms(data: bytes) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    while data:
        size, kind = struct.unpack_from(">I4s", data)
        head = 8
        if size == 1:
            (size,), head = struct.unpack_from(">Q", data, 8), 16
        found.setdefault(kind, []).append(data[head:size])
        data = data[size:]
    return found


@pytest.fixture
def sounds(tmp_path: Path) -> dict[str, np.ndarray]:
    made = {name: song(4, seed)[:FRAMES] / 2 for seed, name in enumerate((*NAMES, "Piano"))}
    for name, sound in made.items():
        source = write_mix(tmp_path / "s.f32", sound)
        finish(encode(source, tmp_path / f"{name}.wav", "PCM_24"))
    return made


def written(folder: Path, gain: float = 1.0) -> Path:
    def parts(*names: str) -> list[Part]:
        return [Part(str(folder / f"{name}.wav"), gain) for name in names]

    stems = [StemTrack(name, f"#00000{i}", parts(name)) for i, name in enumerate(NAMES)]
    stems[2] = StemTrack("Other", "#000002", parts("Other", "Piano"))
    mix = parts(*NAMES, "Piano")
    target = folder / "out" / "song.stem.m4a"
    finish(stem_file(mix, stems, target, FRAMES, "Zoë – Live"))
    return target


def heard(path: Path) -> list[np.ndarray]:
    tracks = []
    for index in range(5):
        with av.open(str(path)) as file:
            frames = [frame.to_ndarray() for frame in file.decode(audio=index)]
            tracks.append(np.concatenate(frames, axis=1).T / 2**15)
    return tracks


def expected(sounds: dict[str, np.ndarray]) -> list[np.ndarray]:
    other = sounds["Other"] + sounds["Piano"]
    return [sum(sounds.values()), sounds["Drums"], sounds["Bass"], other, sounds["Vocals"]]


def test_five_tracks_to_the_sample(tmp_path: Path, sounds: dict[str, np.ndarray]) -> None:
    path = written(tmp_path, gain=0.25)
    for found, wanted in zip(heard(path), expected(sounds), strict=True):
        assert found.shape == (FRAMES, 2)
        assert np.abs(found - wanted / 4).max() <= 0.51 * STEP
    with av.open(str(path)) as file:
        assert [stream.codec_context.name for stream in file.streams] == ["alac"] * 5
        assert file.metadata["title"] == "Zoë – Live"
    assert [file.name for file in path.parent.iterdir()] == ["song.stem.m4a"]


def test_a_player_that_knows_nothing_plays_the_mix(
    tmp_path: Path, sounds: dict[str, np.ndarray]
) -> None:
    moov = atoms(atoms(written(tmp_path).read_bytes())[b"moov"][0])
    flags = [atoms(track)[b"tkhd"][0][3] & 1 for track in moov[b"trak"]]
    assert flags == [1, 0, 0, 0, 0], "track_enabled (ISO 14496-12, 8.3.2)"


def test_the_stem_atom(tmp_path: Path, sounds: dict[str, np.ndarray]) -> None:
    data = written(tmp_path).read_bytes()
    assert list(atoms(data))[-1] == b"moov"
    moov = atoms(atoms(data)[b"moov"][0])
    (udta,) = moov[b"udta"]
    told = json.loads(atoms(udta)[b"stem"][0])
    assert told["version"] == 1
    assert told["stems"] == [{"name": n, "color": f"#00000{i}"} for i, n in enumerate(NAMES)]
    assert not told["mastering_dsp"]["compressor"]["enabled"]
    assert not told["mastering_dsp"]["limiter"]["enabled"]


def test_nothing_clips_and_the_stems_still_add_up(
    tmp_path: Path, sounds: dict[str, np.ndarray]
) -> None:
    mix, *stems = heard(written(tmp_path, gain=8.0))
    assert 1 - 4 * STEP < np.abs(mix).max() < 1
    assert np.abs(sum(stems) - mix).max() <= 3 * STEP
    wanted = expected(sounds)[0]
    assert np.abs(mix - wanted * (np.abs(mix).max() / np.abs(wanted).max())).max() < 2 * STEP


def test_what_fails_leaves_nothing(tmp_path: Path, sounds: dict[str, np.ndarray]) -> None:
    (tmp_path / "Bass.wav").unlink()
    with pytest.raises(FileNotFoundError):
        written(tmp_path)
    assert not (tmp_path / "out").exists()


def test_an_abandoned_one_leaves_nothing(tmp_path: Path, sounds: dict[str, np.ndarray]) -> None:
    parts = [Part(str(tmp_path / "Bass.wav"), 1.0)]
    stems = [StemTrack(name, "#000000", parts) for name in NAMES]
    steps = stem_file(parts, stems, tmp_path / "out" / "t.m4a", FRAMES, "t")
    while next(steps) < 0.8:
        assert not (tmp_path / "out" / "t.m4a").exists()
    steps.close()
    assert list((tmp_path / "out").iterdir()) == []


def test_an_atom_goes_into_any_mp4_whose_moov_is_last(tmp_path: Path) -> None:
    def atom(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I4s", 8 + len(content), kind) + content

    large = struct.pack(">I4sQ", 1, b"mdat", 16 + 5) + b"audio"
    for moov in (atom(b"trak", b"t"), atom(b"udta", atom(b"meta", b"m")) + atom(b"trak", b"t")):
        path = tmp_path / "f.mp4"
        path.write_bytes(atom(b"ftyp", b"M4A ") + large + atom(b"moov", moov))
        with path.open("r+b") as file:
            insert_atom(file, b"stem", b"{}")
        found = atoms(path.read_bytes())
        assert found[b"mdat"] == [b"audio"]
        inside = atoms(found[b"moov"][0])
        assert inside[b"trak"] == [b"t"]
        assert atoms(inside[b"udta"][0])[b"stem"] == [b"{}"]
    path.write_bytes(atom(b"moov", b"") + large)
    with path.open("r+b") as file, pytest.raises(ValueError, match="moov"):
        insert_atom(file, b"stem", b"{}")
