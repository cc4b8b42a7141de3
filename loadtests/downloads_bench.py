"""Two hundred downloads at once, by ranges, as players and download managers take them.

`python -m loadtests.downloads_bench` starts our API process with a finished job whose tracks lie on
the disk, and reads random ranges of them on so many connections. Every byte is compared.
"""

import asyncio
import os
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
import uvloop
from tqdm import tqdm

from loadtests.api_bench import JOB, Side, core_seconds, started

CONNECTIONS = 200
RANGES = 10  # that each takes
RANGE_BYTES = 1 << 20
FILE_BYTES = 32 << 20  # a 3-minute WAV
STEMS = ("vocals", "drums", "bass", "other")


class Taken(NamedTuple):
    """Of one range: seconds until its first byte, and until its last."""

    first: float
    last: float


def write_tracks(folder: Path) -> dict[str, bytes]:
    """The job's files; what is in each."""
    place = folder / "outputs" / "job"
    place.mkdir(parents=True, exist_ok=True)
    made = {}
    for number, stem in enumerate(STEMS):
        made[f"{stem}.mp3"] = random.Random(number).randbytes(FILE_BYTES)
        (place / f"{stem}.mp3").write_bytes(made[f"{stem}.mp3"])
    return made


async def take(side: Side, files: dict[str, bytes]) -> list[Taken]:
    """All ranges of all connections. Raises RuntimeError on a wrong byte."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{side.port}") as http:
        answer = await http.get(JOB, headers={"Authorization": f"Bearer {side.key}"})
        urls = [output["url"] for output in answer.raise_for_status().json()["outputs"].values()]
    with tqdm(total=CONNECTIONS * RANGES, desc="ranges") as bar:
        each = await asyncio.gather(*(
            _reader(side.port, urls, files, random.Random(number), bar)
            for number in range(CONNECTIONS)
        ))  # fmt: skip
    return [taken for found in each for taken in found]


async def _reader(
    port: int, urls: Sequence[str], files: dict[str, bytes], chance: random.Random, bar: "tqdm[int]"
) -> list[Taken]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=RANGE_BYTES)
    found = []
    for _ in range(RANGES):
        url = httpx.URL(chance.choice(urls))
        start = chance.randrange(FILE_BYTES - RANGE_BYTES)
        began = time.perf_counter()
        wanted = f"bytes={start}-{start + RANGE_BYTES - 1}"
        writer.write(f"GET {url.raw_path.decode()} HTTP/1.1\r\nHost: localhost:{port}\r\n"
                     f"Range: {wanted}\r\n\r\n".encode())  # fmt: skip
        head = await reader.readuntil(b"\r\n\r\n")
        first = time.perf_counter() - began
        if not head.startswith(b"HTTP/1.1 206"):
            raise RuntimeError(head.decode(errors="replace"))
        body = await reader.readexactly(RANGE_BYTES)
        found.append(Taken(first, time.perf_counter() - began))
        if body != files[url.path.rpartition("/")[2]][start : start + RANGE_BYTES]:
            raise RuntimeError("a range is not what lies on the disk")
        bar.update()
    writer.close()
    return found


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main() -> None:
    """Prints the figures."""
    with started() as side:
        files = write_tracks(side.folder)
        assert side.process.pid is not None
        server = psutil.Process(side.process.pid)
        uvloop.run(take(side, files))  # files are in memory, and all code is loaded
        memory, cores = server.memory_info().rss, core_seconds(server.pid)
        began = time.perf_counter()
        taken = uvloop.run(take(side, files))
        seconds, spent = time.perf_counter() - began, core_seconds(server.pid) - cores
        total = len(taken) * RANGE_BYTES / 1e6
        first = [1000 * one.first for one in taken]
        print(f"{CONNECTIONS} at once, {len(taken)} ranges of {RANGE_BYTES >> 20} MiB: "
              f"{total / seconds:.0f} MB/s, {total / spent:.0f} MB a core-second")
        print(f"first byte: median {statistics.median(first):.0f} ms, "
              f"p99 {percentile(first, 0.99):.0f} ms")
        print(f"memory {(server.memory_info().rss - memory) / 1e6:+.1f} MB; "
              f"load {os.getloadavg()[0]:.0f}")


if __name__ == "__main__":
    main()
