"""Listening on a real server: the first sound of a song, and windows while both pools are busy.

`python -m loadtests.listening_bench` prints both.
"""

import statistics
import tempfile
import time
from pathlib import Path

import httpx
from tqdm import tqdm

from loadtests.figures import URL, Server, make_song

SONG_SECONDS = 180.0
BUSY = 4  # songs that are made meanwhile
WINDOWS = 400  # of each kind
STEMS = "vocals,drums,bass,other"


def start(client: httpx.Client, song: bytes) -> str:
    """A new job's id."""
    answer = client.post("/process", files={"file": ("song.flac", song)}).raise_for_status()
    return str(answer.json()["job_id"])


def window(client: httpx.Client, job_id: str, start: float) -> tuple[float, int]:
    """Milliseconds of one request as the page makes it, and the frames that came."""
    path = f"/job/{job_id}/window?tracks={STEMS}&start={start}&seconds=2&format=s16"
    began = time.perf_counter()
    answer = client.get(path).raise_for_status()
    return 1000 * (time.perf_counter() - began), int(answer.headers["x-frames"])


def first_sound(client: httpx.Client, song: bytes) -> tuple[str, float, float]:
    """A job; seconds from the drop of its song to the first frames, and to its end."""
    began = time.monotonic()
    job_id = start(client, song)
    while window(client, job_id, 0)[1] == 0:
        time.sleep(0.05)
    heard = time.monotonic() - began
    while client.get(f"/job/{job_id}").json()["status"] == "processing":
        time.sleep(0.1)
    return job_id, heard, time.monotonic() - began


def while_busy(client: httpx.Client, song: bytes, finished: str) -> dict[str, list[float]]:
    """Milliseconds of windows of a finished job and of one that is being made."""
    jobs = [start(client, song) for _ in range(BUSY)]
    figures: dict[str, list[float]] = {"finished": [], "growing": []}
    for number in tqdm(range(WINDOWS), desc="windows", unit=" pairs"):
        if client.get(f"/job/{jobs[0]}").json()["status"] != "processing":
            jobs = [*jobs[1:], start(client, song)]  # the pools are never idle
        place = number * 2 % (SONG_SECONDS - 2)
        figures["finished"].append(window(client, finished, place)[0])
        figures["growing"].append(window(client, jobs[0], 0)[0])
        time.sleep(0.05)
    return figures


def main() -> None:
    """Prints the figures."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "data")
        try:
            with httpx.Client(base_url=URL, timeout=600) as client:
                song = make_song(SONG_SECONDS)
                job_id, heard, whole = first_sound(client, song)
                print(f"first sound {heard:.2f} s, all of it {whole:.2f} s")
                for kind, found in while_busy(client, song, job_id).items():
                    cuts = statistics.quantiles(found, n=100)
                    print(f"{kind}: p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms, "
                          f"most {max(found):.1f} ms")
        finally:
            server.stop()


if __name__ == "__main__":
    main()
