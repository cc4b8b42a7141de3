"""A real server, measured from outside: start, idle, one song, memory.

`python -m loadtests.figures` prints the figures of RESULTS.md; `--hour` adds the 60-minute song
(some minutes of work), `--seconds` changes the length of the short one.
"""

import argparse
import io
import json
import os
import queue
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import soundfile as sf
from tqdm import tqdm

from server.config import load
from server.pool_plans import pool_plans
from server.starter.songs import synthesise

PORT = 8765
URL = f"http://127.0.0.1:{PORT}"
MEMORY_SECONDS = 2.0
AT_ONCE = (1, 2, 4, 8)
JOBS = 8  # in every round of them
WORKERS = sum(len(plan.devices) for plan in pool_plans(load(environ={})))


class Server:
    """`stembox serve` on a data directory, and all its processes."""

    def __init__(self, data: Path) -> None:
        began = time.monotonic()
        self.data, self.log = data, data.with_suffix(".log")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "server.cli", "serve", "--port", str(PORT),
                 "--data-dir", str(data)],
                stdout=log, stderr=log,
                env=os.environ | {"STEMBOX_FETCH__ALLOW_NETWORKS": "127.0.0.0/8"},
            )
        self.answers_s = self._until(began, lambda: bool(httpx.get(f"{URL}/health")))
        self.ready_s = self._until(
            began, lambda: len(httpx.get(f"{URL}/config").json()["workers"]) >= WORKERS
            and httpx.get(f"{URL}/health").status_code == 200)

    def _until(self, began: float, done: Any) -> float:
        while True:
            if self._process.poll() is not None:
                raise SystemExit("the server did not start")
            try:
                if done():
                    return time.monotonic() - began
            except httpx.TransportError:
                pass
            time.sleep(0.02)

    def lines(self) -> list[dict[str, Any]]:
        """Its log so far."""
        text = self.log.read_text()
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def processes(self) -> list[psutil.Process]:
        """The supervisor and everything below it."""
        parent = psutil.Process(self._process.pid)
        return [parent, *parent.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """CPU time of all processes so far."""
        return sum(sum(p.cpu_times()[:2]) for p in self.processes())

    def memory_mb(self) -> float:
        """Memory of all processes, pages that they share counted once (PSS)."""
        return sum(p.memory_full_info().pss for p in self.processes()) / 1e6

    def stop(self) -> float:
        """SIGTERM; seconds until it is gone."""
        began = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()
        return time.monotonic() - began


class Watch(threading.Thread):
    """Highest memory and the times of /health, while a job runs."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._ended = threading.Event()
        self.peak_mb = 0.0
        self.health_ms: list[float] = []

    def run(self) -> None:
        due = 0.0
        with httpx.Client() as client:
            while not self._ended.wait(0.1):
                began = time.monotonic()
                client.get(f"{URL}/health")
                self.health_ms.append(1000 * (time.monotonic() - began))
                if time.monotonic() > due:  # reading it takes milliseconds of every process
                    self.peak_mb = max(self.peak_mb, self._server.memory_mb())
                    due = time.monotonic() + MEMORY_SECONDS

    def end(self) -> None:
        self._ended.set()
        self.join()


def make_song(seconds: float) -> bytes:
    """A FLAC: three minutes of synthesised music, again and again."""
    part = np.sum(np.stack(list(synthesise(2_000_004, min(seconds, 180)).values())), axis=0).T
    file = io.BytesIO()
    with sf.SoundFile(file, "w", 44100, 2, "PCM_16", format="FLAC") as out:
        left = round(seconds * 44100)
        while left > 0:
            out.write(part[:left])
            left -= len(part)
    return file.getvalue()


def one_job(server: Server, song: bytes, label: str) -> dict[str, float]:
    """One song through the server: seconds end to end, core-seconds, memory, /health."""
    watch, cpu = Watch(server), server.cpu_seconds()
    watch.start()
    began = time.monotonic()
    with httpx.Client(timeout=600) as client, tqdm(desc=label, unit=" stages", total=4) as bar:
        job = client.post(f"{URL}/process", files={"file": ("song.flac", song)}).json()
        while job["status"] == "processing":
            time.sleep(0.1)
            job = client.get(f"{URL}/job/{job['job_id']}").json()
            bar.n = sum(stage["status"] == "completed" for stage in job["stages"])
            bar.refresh()
    seconds = time.monotonic() - began
    watch.end()
    assert job["status"] == "completed", job
    for stage in job["stages"]:
        print(f"  {stage['name']:<32} {stage['duration_seconds']:8.2f} s")
    health = statistics.quantiles(watch.health_ms, n=100) if len(watch.health_ms) > 1 else [0] * 99
    return {"end to end, s": seconds, "core-seconds": server.cpu_seconds() - cpu,
            "peak memory, MB": watch.peak_mb, "/health p50, ms": health[49],
            "/health p99, ms": health[98]}


def throughput(song: bytes, seconds: float) -> dict[str, float]:
    """Nine-track jobs, so many at once: seconds of song a second. All ask equally often."""
    with httpx.Client(timeout=600) as client:
        def one(at_once: int) -> None:
            files = {"file": ("song.flac", song)}
            job = client.post(f"{URL}/process", files=files).json()["job_id"]
            while client.get(f"{URL}/job/{job}").json()["status"] == "processing":
                time.sleep(0.1 * at_once)

        figures: dict[str, float] = {}
        for at_once in tqdm(AT_ONCE, desc="throughput", unit=" rounds"):
            began = time.monotonic()
            with ThreadPoolExecutor(at_once) as clients:
                list(clients.map(one, [at_once] * JOBS))
            figures[f"{at_once} at once"] = JOBS * seconds / (time.monotonic() - began)
    return figures


def client_of(server: Server) -> httpx.Client:
    """A client of the StemSplit API, with credits."""
    made = subprocess.run(
        [sys.executable, "-m", "server.cli", "keys", "create", "--account", "figures",
         "--minutes", "100", "--data-dir", str(server.data)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return httpx.Client(base_url=f"{URL}/api/v1", timeout=60,
                        headers={"Authorization": f"Bearer {made.stdout.strip()}"})


def order(api: httpx.Client, song: bytes) -> str:
    """Uploads a song and has two stems of it made as MP3; the job's id."""
    ticket = api.post("/upload", json={"filename": "song.flac"}).json()
    httpx.put(ticket["uploadUrl"], content=song, timeout=60,
              headers={"Content-Type": ticket["contentType"]}).raise_for_status()  # fmt: skip
    answer = api.post("/jobs", json={"uploadKey": ticket["uploadKey"]}).raise_for_status()
    return str(answer.json()["id"])


def overtaking(server: Server) -> dict[str, float]:
    """A 20-second clip, alone and while the MP3s of two 10-minute songs are written."""
    clip, long, figures = make_song(20), make_song(600), {}
    with client_of(server) as api:
        def seconds_of_clip() -> float:
            began, job = time.monotonic(), order(api, clip)
            while api.get(f"/jobs/{job}").json()["status"] not in ("COMPLETED", "FAILED"):
                time.sleep(0.1)
            return time.monotonic() - began

        figures["alone, s"] = seconds_of_clip()
        jobs = [order(api, long) for _ in range(2)]
        with tqdm(desc="until the last MP3s are begun", unit=" s") as bar:
            while not any(line.get("event") == "stage started" and line.get("job") == jobs[1]
                          and line["stage"].startswith("encode/") for line in server.lines()):
                time.sleep(1)
                bar.update()
        figures["behind them, s"] = seconds_of_clip()
    return figures


def one_webhook(server: Server, song: bytes) -> dict[str, float]:
    """A StemSplit job (two stems as MP3) and the webhook that tells of its end."""
    arrived: queue.Queue[tuple[float, dict[str, Any]]] = queue.Queue()

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            arrived.put((time.time(), json.loads(body)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as endpoint, client_of(server) as api:
        threading.Thread(target=endpoint.serve_forever, daemon=True).start()
        api.post("/webhooks", json={"url": f"http://127.0.0.1:{endpoint.server_port}"})
        began = time.monotonic()
        order(api, song)
        accepted = time.monotonic() - began
        at, told = arrived.get(timeout=600)
        endpoint.shutdown()
    assert told["event"] == "job.completed", told
    separated = max(
        datetime.fromisoformat(line["timestamp"]).timestamp() for line in server.lines()
        if line.get("event") == "stage completed" and line.get("stage") == "separate"
    )
    completed = datetime.fromisoformat(told["data"]["completedAt"]).timestamp()
    return {"upload and POST /jobs, s": accepted, "end to end, s": time.monotonic() - began,
            "separated to webhook, s": at - separated,
            "completed to webhook, ms": 1000 * (at - completed)}  # fmt: skip


def report(title: str, figures: dict[str, float]) -> None:
    """One block of lines."""
    print(title)
    for name, value in figures.items():
        print(f"  {name:<32} {value:8.2f}")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.figures", description=__doc__)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--hour", action="store_true", help="the 60-minute song too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        for title in ("first start (compiles its kernels)", "second start"):
            server = Server(data)
            report(title, {"first answer, s": server.answers_s, "all ready, s": server.ready_s,
                           "stopped in, s": server.stop()})
        server = Server(data)
        time.sleep(2)
        cpu, began = server.cpu_seconds(), time.monotonic()
        time.sleep(20)
        idle = 100 * (server.cpu_seconds() - cpu) / (time.monotonic() - began)
        report("idle", {"% of one core, all processes": idle, "memory, MB": server.memory_mb()})
        song = make_song(arguments.seconds)
        for turn in ("first", "second"):
            report(f"{arguments.seconds:g} s song, {turn}", one_job(server, song, "short song"))
        one_webhook(server, song)  # librosa compiles what it needs to describe a song, once
        report("the same song, two stems as MP3, second", one_webhook(server, song))
        if arguments.hour:
            report("60-minute song", one_job(server, make_song(3600), "long song"))
        report("a clip behind two 10-minute songs' MP3s", overtaking(server))
        title = "seconds of song a second, nine tracks, 60-s songs"
        report(title, throughput(make_song(60), 60))
        server.stop()


if __name__ == "__main__":
    main()
