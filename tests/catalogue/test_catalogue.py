"""The command on a Ray cluster of several nodes: exactly once, byte for byte, whatever dies."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray")
pytest.importorskip("obstore")
pytest.importorskip("moto")

import pyarrow as pa
import pyarrow.parquet as pq

from server.catalogue import locations, storage
from server.catalogue.driver import ALONE, CRASHED
from tests.catalogue import s3
from tests.catalogue.cluster import ROOT, SETTINGS, Command, RayCluster, committed
from tests.catalogue.conftest import write_model, write_song

pytestmark = pytest.mark.timeout(900)
SONGS = 30  # so many that none of the kills comes after the last one
STEMS = ["drums", "bass", "other", "vocals"]
Tracks = dict[str, dict[str, str]]  # SHA-256 of each stem, by song


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A tiny model in `data`, and songs in `in`."""
    with tempfile.TemporaryDirectory(prefix="catalogue-") as name:
        write_model(Path(name) / "data")
        for seed in range(SONGS):
            write_song(Path(name) / "in" / f"song {seed:02}.wav", seed, 3 + (seed % 4))
        yield Path(name)


@pytest.fixture(scope="module")
def plain(folder: Path) -> Tracks:
    """What the same engine makes of the songs without Ray: `stembox separate`."""
    return separated(folder / "data", sorted((folder / "in").iterdir()), folder / "plain")


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3.serving():
        yield f"s3://{s3.BUCKET}"


@pytest.fixture(scope="module")
def cluster(bucket: str) -> Iterator[RayCluster]:
    """Two nodes, which know the S3 server by their environment."""
    cluster = RayCluster(nodes=2)
    yield cluster
    cluster.close()


def separated(data: Path, songs: list[Path], out: Path) -> Tracks:
    environ = {f"STEMBOX_{key.upper()}": str(value) for key, value in SETTINGS.items()}
    subprocess.run([sys.executable, "-m", "server.cli", "separate", *map(str, songs),
                    "--out", str(out), "--format", "FLAC", "--data-dir", str(data)],
                   check=True, capture_output=True, env=os.environ | environ, cwd=ROOT)  # fmt: skip
    return {song.name: {stem: digest((out / song.stem / f"{stem}.flac").read_bytes())
                        for stem in STEMS} for song in songs}  # fmt: skip


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def rows_of(output: str, folder: Path) -> list[dict[str, Any]]:
    file = folder / "manifest.parquet"
    storage.fetch(locations.join(output, "manifest.parquet"), file)
    return pq.read_table(file).to_pylist()


def check(rows: list[dict[str, Any]], output: str, plain: Tracks) -> None:
    """Every song that `plain` has is there once, with its bytes, and nothing else of one."""
    assert sorted(Path(row["input"]).name for row in rows) == sorted(plain)
    named = {locations.join(output, "manifest.parquet")}
    for row in rows:
        assert row["error"] is None
        for stem in row["outputs"]:
            place = locations.join(output, stem["path"])
            content = storage.read(place)
            assert content is not None and len(content) == stem["size"]
            assert digest(content) == stem["sha256"] == plain[Path(row["input"]).name][
                stem["track"]]  # fmt: skip
            named |= {place, locations.join(locations.parent(locations.parent(place)),
                                            "result.json")}  # fmt: skip
    marks = locations.join(output, storage.MARKS)  # of runs that were killed: they go in time
    assert {found.location for found in storage.under(output)
            if not locations.is_below(found.location, marks)} == named  # fmt: skip


def test_from_a_bucket_to_a_bucket(
    folder: Path, plain: Tracks, bucket: str, cluster: RayCluster, tmp_path: Path
) -> None:
    """A manifest with other columns, duplicates, and songs that fail, each alone."""
    names = [f"song {seed:02}.wav" for seed in range(6)]
    for name in names:
        storage.put_file(folder / "in" / name, f"{bucket}/in/{name}")
    storage.put_file(folder / "in" / names[1], f"{bucket}/in/under another name.wav")
    storage.put_file(folder / "in" / "song 06.wav", f"{bucket}/in/deadly decode.wav")
    storage.create(f"{bucket}/in/no audio.mp3", b"no audio" * 999)
    bad = {"deadly decode.wav": CRASHED, "missing.wav": "There is no such file",
           "no audio.mp3": "Unsupported audio format: .mp3"}  # fmt: skip
    listed = [*names, names[0], "under another name.wav", *bad]
    table = pa.table({"url": listed, "year": list(range(1990, 1990 + len(listed)))})
    pq.write_table(table, tmp_path / "songs.parquet")
    storage.put_file(tmp_path / "songs.parquet", f"{bucket}/in/songs.parquet")
    output = f"{bucket}/out"
    command = Command(folder / "data", tmp_path / "log", f"{bucket}/in/songs.parquet", "--out",
                      output, "--address", cluster.address, "--scratch", tmp_path / "scratch",
                      "--model", "tiny", "--stems", ",".join(STEMS),
                      module="tests.catalogue.faulty")  # fmt: skip
    assert command.wait() == 1, command.told()
    rows = sorted(rows_of(output, tmp_path), key=lambda row: row["year"])
    assert [row["url"] for row in rows] == listed
    assert {row["url"]: row["error"] for row in rows if row["error"]} == bad
    good = [row for row in rows if not row["error"]]
    check(good[:6], output, {name: plain[name] for name in names})
    keys = [row["key"] for row in good]
    assert keys[6:] == [keys[0], keys[1]] and len(set(keys)) == 6
    assert [row["occurrence"] for row in good] == [0] * 6 + [1, 0]
    assert not list((tmp_path / "scratch").iterdir())


def test_whatever_dies_every_song_is_there_once(
    folder: Path, plain: Tracks, cluster: RayCluster, tmp_path: Path
) -> None:
    """Interrupted; resumed, an actor and a machine killed, the driver killed; resumed."""
    chance, output = random.Random(17), tmp_path / "out"

    def run() -> Command:
        return Command(folder / "data", tmp_path / "log", folder / "in", "--out", output,
                       "--address", cluster.address, "--scratch", tmp_path / "scratch",
                       "--songs", 2)  # fmt: skip

    def more(count: int) -> Callable[[], bool]:
        """Whether so many more songs are there than now."""
        wanted = min(committed(output) + count, SONGS)
        return lambda: committed(output) >= wanted

    first = run()
    assert first.signal_when(more(chance.randint(1, 3))) == 130
    assert "Traceback" not in first.told(), first.told()
    assert not list((tmp_path / "scratch").iterdir())
    assert 1 <= len(rows_of(str(output), tmp_path)) <= committed(output) < SONGS

    second = run()
    second.until(more(1))
    chance.choice(cluster.processes("SeparationActor")).kill()
    second.until(more(1))
    cluster.kill_node(chance.randrange(2))
    cluster.add_node()
    assert second.signal_when(more(1), signal.SIGKILL) == -9, second.told()
    assert committed(output) < SONGS
    assert run().wait() == 0, second.told()
    check(rows_of(str(output), tmp_path), str(output), plain)
    stamps = {path: path.stat().st_mtime_ns for path in output.rglob("*.flac")}
    assert run().wait() == 0
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*.flac")} == stamps


def test_a_model_that_dies_while_it_loads_ends_the_run(
    folder: Path, cluster: RayCluster, tmp_path: Path
) -> None:
    write_model(tmp_path / "data", "deadly")
    command = Command(tmp_path / "data", tmp_path / "log", folder / "in", "--out",
                      tmp_path / "out", "--address", cluster.address, "--stations", 1,
                      module="tests.catalogue.faulty", models__balanced="deadly")  # fmt: skip
    assert command.wait() == 1, command.told()
    assert "The model cannot be started" in command.told()
    assert not list((tmp_path / "out").rglob("*.*"))


@pytest.mark.chaos
def test_a_song_that_kills_its_model_is_given_up_alone(
    folder: Path, plain: Tracks, cluster: RayCluster, tmp_path: Path
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    shutil.copytree(folder / "in", source)
    shutil.copy(source / "song 03.wav", source / "deadly separate.wav")
    (source / "song 03.wav").unlink()
    command = Command(folder / "data", tmp_path / "log", source, "--out", output, "--address",
                      cluster.address, module="tests.catalogue.faulty")  # fmt: skip
    assert command.wait(600) == 1, command.told()
    rows = rows_of(str(output), tmp_path)
    assert {row["input"]: row["error"] for row in rows if row["error"]} == {
        str(source / "deadly separate.wav"): ALONE}  # fmt: skip
    others = {name: tracks for name, tracks in plain.items() if name != "song 03.wav"}
    check([row for row in rows if not row["error"]], str(output), others)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_two_hundred_songs_while_nodes_and_workers_are_killed(
    folder: Path, cluster: RayCluster, tmp_path: Path
) -> None:
    """Seeded: at every so many songs an actor, an audio task or a machine is killed, and another
    machine comes."""
    chance, output = random.Random(200), tmp_path / "out"
    songs = [write_song(tmp_path / "in" / f"{seed:03}.wav", 1000 + seed, 0.7 + 0.1 * (seed % 9))
             for seed in range(200)]  # fmt: skip
    plain = separated(folder / "data", songs, tmp_path / "plain")
    command = Command(folder / "data", tmp_path / "log", tmp_path / "in", "--out", output,
                      "--address", cluster.address, "--songs", 4)  # fmt: skip
    kills = dict.fromkeys(("machine", "SeparationActor", "prepare", "deliver"), 0)
    for moment in sorted(chance.sample(range(5, 190), 10)):
        command.until(lambda moment=moment: committed(output) >= moment)
        victim = chance.choice(list(kills))
        if victim == "machine":
            cluster.kill_node(chance.randrange(len(cluster.nodes)))
            cluster.add_node()
        elif found := cluster.processes(victim):
            chance.choice(found).kill()
        else:
            continue
        kills[victim] += 1
    assert command.wait(1800) == 0, command.told()
    print(kills)
    assert kills["machine"] and kills["SeparationActor"]
    check(rows_of(str(output), tmp_path), str(output), plain)
