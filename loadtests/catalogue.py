"""A catalogue on Ray against the plain engine: speed, what a song costs beside its stages, memory.

`python -m loadtests.catalogue` prints the tables. Needs the extra `catalogue`, and nothing else
that computes on this machine. Nodes are Ray's own processes on this machine, one thread each.
"""

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import psutil
import pyarrow.parquet as pq
import soundfile
from msgspec import structs
from ray.cluster_utils import Cluster

from server.catalogue import command
from server.cli import build_parser, set_environment
from server.config import Config, load
from server.engine.masknet import MaskNet
from server.offline import Offline, Target
from server.sound import SAMPLE_RATE
from server.starter.store import save_bag, save_hub_model
from server.stems import FOUR

STORE = 80 << 20  # bytes of Ray's object store on each node: the least that it takes
LOOK = 1.0  # seconds between two looks at the memory


class Figures(NamedTuple):
    """A run: songs and seconds of audio in a second, and what stages took of a song, in seconds.

    memory: of all processes together, in bytes, by the share of the songs that were done.
    driver: CPU seconds of the driver for a song.
    """

    songs_s: float
    audio_s: float
    stages: dict[str, float]
    memory: list[tuple[float, int]]
    driver: float


class Look(NamedTuple):
    """The share of the songs that are done, bytes of all processes, CPU seconds of this one."""

    done: float
    memory: int
    driver: float


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--songs", type=int, default=24, help="for the speed; 0: none")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each of them")
    parser.add_argument("--short", type=int, default=200, help="songs for costs and memory")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="catalogue-bench-") as name:
        folder = Path(name)
        config = load(flags={"server.data_dir": str(folder / "data"), "separation.device": "cpu",
                             "separation.threads": 1})  # fmt: skip
        set_environment(config)
        if arguments.songs:
            speeds(config, folder, arguments.songs, arguments.seconds)
        short = write_songs(folder / "short", arguments.short, 0.2)
        found = measured(tiny(config), short, folder / "costs", 1)
        print(f"\n{arguments.short} songs of 0.2 s, a tiny model: "
              f"{1000 / found.songs_s:.0f} ms a song, of which {told(found.stages)}; "
              f"the driver's CPU {1000 * found.driver:.1f} ms")
        print("memory of all of Ray and the driver, MB: "
              + ", ".join(f"{done:.0%} {size / 1e6:.0f}" for done, size in found.memory))


def speeds(config: Config, folder: Path, songs: int, seconds: float) -> None:
    """The plain engine beside Ray on one node and on two."""
    long = write_songs(folder / "long", songs, seconds)
    print(f"| {songs} songs of {seconds:g} s | audio s/s | songs/s |\n|---|---|---|")
    plain = plain_speed(config, long, folder / "plain")
    print(f"| plain engine, one thread | {plain:.2f} | {plain / seconds:.3f} |")
    for nodes in (1, 2):
        found = measured(config, long, folder / f"out{nodes}", nodes)
        print(f"| Ray, {nodes} node(s) of one thread | {found.audio_s:.2f} | "
              f"{found.songs_s:.3f} |")
        print(f"|   seconds of a song by stage: {told(found.stages)} | | |", flush=True)


def tiny(config: Config) -> Config:
    """The same settings, with a model that costs next to nothing."""
    folder = config.data_dir / "models" / "tiny"
    folder.mkdir(parents=True)
    network = MaskNet(list(FOUR), channels=8, blocks=2, dim=16, layers=1, segment=Fraction(1))
    save_hub_model(network.half().float().eval(), folder, "tiny0")
    save_bag(folder, "tiny", ["tiny0"])
    return structs.replace(config, models=structs.replace(config.models, balanced=["tiny"]))


def told(stages: dict[str, float]) -> str:
    """For people."""
    return ", ".join(f"{name} {seconds:.3f}" for name, seconds in stages.items())


def write_songs(folder: Path, count: int, seconds: float) -> Path:
    """Songs of noise, each another one."""
    folder.mkdir()
    for seed in range(count):
        noise = np.random.default_rng(seed).normal(0, 0.1, (int(seconds * SAMPLE_RATE), 2))
        soundfile.write(folder / f"{seed:06}.wav", noise.astype(np.float32), SAMPLE_RATE,
                        subtype="PCM_16")  # fmt: skip
    return folder


def plain_speed(config: Config, songs: Path, out: Path) -> float:
    """Seconds of audio in a second, one song after another, without Ray."""
    offline = Offline(config, "BALANCED")
    files = sorted(songs.iterdir())
    quiet: Callable[[str, float], None] = lambda stage, done: None  # noqa: E731
    offline.separate(files[0], Target(out / "warm", "FLAC"), quiet)
    began = time.monotonic()
    for file in files:
        offline.separate(file, Target(out, "FLAC"), quiet)
    return sum(soundfile.info(file).duration for file in files) / (time.monotonic() - began)


def measured(config: Config, songs: Path, out: Path, nodes: int) -> Figures:
    """A run on a cluster of so many nodes. Its speed is that between its first songs, as many as
    are under way at once, and its last."""
    with cluster(nodes) as address:
        arguments = build_parser().parse_args([
            "catalogue", str(songs), "--out", str(out), "--address", address])
        count = len(list(songs.iterdir()))
        with looks(out, count) as seen:
            command.run(arguments, config, FOUR)
    rows = sorted(pq.read_table(out / "manifest.parquet").to_pylist(),
                  key=lambda row: row["finished"])  # fmt: skip
    first = min(4 * nodes, len(rows) // 2)
    span = (rows[-1]["finished"] - rows[first - 1]["finished"]).total_seconds()
    counted: list[dict[str, Any]] = rows[first:]
    stages = {name: median(row["seconds"][name] for row in counted)
              for name in counted[0]["seconds"]}  # fmt: skip
    audio = sum(row["duration"] for row in counted)
    done = count * (seen[-1].done - seen[0].done)
    driver = (seen[-1].driver - seen[0].driver) / done if done else 0.0
    return Figures(len(counted) / span, audio / span, stages,
                   [(look.done, look.memory) for look in seen], driver)  # fmt: skip


@contextmanager
def cluster(nodes: int) -> Iterator[str]:
    """A Ray cluster on this machine: a head that computes nothing, and nodes of one core."""
    made = Cluster(initialize_head=True,
                   head_node_args={"num_cpus": 0, "object_store_memory": STORE})  # fmt: skip
    try:
        for _ in range(nodes):
            made.add_node(num_cpus=1, object_store_memory=STORE)
        yield made.address
    finally:
        made.shutdown()


@contextmanager
def looks(out: Path, songs: int) -> Iterator[list[Look]]:
    """Collects what this process and its children take, while songs appear in `out`."""
    seen: list[Look] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(LOOK):
            done = len(list(out.glob("songs/*/*/result.json"))) / songs
            if done > 0 and (not seen or done - seen[-1].done >= 0.1):
                # without this thread's own
                driver = time.process_time() - time.thread_time()
                seen.append(Look(done, held(), driver))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def held() -> int:
    """Bytes of this process and all below it that nobody shares (USS)."""
    total = 0
    me = psutil.Process(os.getpid())
    for process in (me, *me.children(recursive=True)):
        try:
            total += process.memory_full_info().uss
        except psutil.Error:
            continue
    return total


if __name__ == "__main__":
    main()
