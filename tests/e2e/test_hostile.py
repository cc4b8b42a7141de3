"""A1: hundreds of files from hostile strangers, through both APIs of a real server.

Each ends in a documented error or in tracks that are valid; no process dies or takes more memory
than it may, songs beside them come out as if they were alone, and nothing is left behind.

The short run is part of every test run; `make chaos` sends all of them.
"""

import concurrent.futures
import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from tests.e2e.calling import Caller, command
from tests.e2e.conftest import write_song
from tests.e2e.hostile import SECONDS, Hostile, hostile_files
from tests.harness import Server, serving, wait_for

MOST_MB = 400  # of memory, at any moment, of a process that decodes; idle it has 150 to 230
AT_ONCE = 4
TRACKS = 9
CODES = {"UNSUPPORTED_FORMAT", "AUDIO_TOO_LONG", "AUDIO_TOO_SHORT", "INVALID_REQUEST"}
INSIDE = ("Traceback", "Error:", "internal", "given up", "/data", "rror(")  # no sentences of ours


class Site:
    """A server, and what is wrong with how it takes hostile files."""

    def __init__(self, server: Server) -> None:
        self.server = server
        key = command(server, "keys", "create", "--account", "ann", "--minutes", "6000",
                      "--requests-per-minute", "1000000")  # fmt: skip
        self.caller = Caller(server, key)
        self.wrong: list[str] = []
        self.ends: Counter[str] = Counter()

    def plain(self, file: Hostile) -> None:
        """By the pipeline API."""
        answer = self.server.post(file.data, file.name)
        if answer.status_code != 200:
            self.refused(file, answer.status_code, answer.json()["detail"], (400,))
            return
        job = self.server.end_of(answer.json()["job_id"])
        if job["status"] != "completed":
            errors = [stage["error"] for stage in job["stages"] if stage["status"] == "failed"]
            self.refused(file, 400, errors[0], (400,))
            return
        self.ends["completed"] += 1
        self.check(file, list(map(Path, job["outputs"].values())), TRACKS)

    def split(self, file: Hostile) -> None:
        """By the StemSplit API, which measures a file first."""
        if not file.data:  # no PUT is that short
            return
        key = self.caller.upload(file.data, f"x{Path(file.name).suffix}"[:40])
        answer = self.caller.create(uploadKey=key, outputType="VOCALS", outputFormat="WAV",
                                    quality="FAST")  # fmt: skip
        if answer.status_code != 201:
            error = answer.json()["error"]
            if error["code"] not in CODES:
                self.note(file, error)
            short = error["code"] == "AUDIO_TOO_SHORT"
            self.refused(file, answer.status_code, error["message"], (400,), whatever=short)
            return
        job = self.caller.end_of(answer.json()["id"])
        if job["status"] != "COMPLETED":
            self.note(file, f"measured, and then: {job}")
            return
        self.ends["completed"] += 1
        outputs = self.server.data / "outputs" / job["id"]
        self.check(file, list(outputs.glob("*.wav")), 1)

    def refused(
        self, file: Hostile, status: int, sentence: str, allowed: tuple[int, ...],
        whatever: bool = False,
    ) -> None:  # fmt: skip
        self.ends[sentence if len(sentence) < 50 else sentence[:50]] += 1
        if status not in allowed or len(sentence) < 10 or any(x in sentence for x in INSIDE):
            self.note(file, f"{status} {sentence}")
        if file.valid and not whatever:
            self.note(file, f"it is a song: {sentence}")

    def check(self, file: Hostile, tracks: list[Path], count: int) -> None:
        """A song that was taken must have all its tracks, as long as each other and finite."""
        if file.valid is False:
            self.note(file, "it is no song, and was taken for one")
        lengths = set()
        for path in tracks:
            sound, rate = sf.read(path, always_2d=True)
            lengths.add(len(sound))
            if rate != 44100 or sound.shape[1] != 2 or not np.isfinite(sound).all():
                self.note(file, f"{path.name}: {rate} Hz, {sound.shape}")
        if len(tracks) != count or len(lengths) != 1 or not 0 < min(lengths) <= SECONDS * 44100:
            self.note(file, f"{len(tracks)} tracks, {lengths} samples")

    def note(self, file: Hostile, what: object) -> None:
        self.wrong.append(f"{file.name} ({len(file.data)} bytes): {what}")


def peak_mb(pid: int) -> int:
    """The most memory that a process has ever had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmHWM:"))


def tracks(job: dict) -> dict[str, bytes]:
    return {name: Path(path).read_bytes() for name, path in job["outputs"].items()}


def strangers(folder: Path, seed: int, count: int) -> None:
    files = hostile_files(folder, seed, count)
    honest = write_song(folder / "honest.flac", 6)
    with serving(folder / "data", limits__max_audio_seconds=SECONDS,
                 limits__max_file_size_mb=100, limits__max_uploads=100) as server:  # fmt: skip
        site = Site(server)
        alone = tracks(server.end_of(server.post(honest).json()["job_id"]))
        workers = server.get("/config").json()["workers"]
        decoders = {w["worker"]: server.pid_of(w["worker"]) for w in workers
                    if w["pool"] != "separation"}  # fmt: skip
        beside = []
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            ways = itertools.cycle((site.plain, site.split, site.plain))
            sent = [pool.submit(way, file) for way, file in zip(ways, files, strict=False)]
            for number, one in enumerate(sent):
                if number % 12 == 0:
                    beside.append(server.post(honest).json()["job_id"])
                one.result()
        for job in beside:
            assert tracks(server.end_of(job)) == alone, "a song beside them is another"
        print(f"{count} files: {dict(site.ends.most_common())}")
        peaks = {name: peak_mb(pid) for name, pid in decoders.items()}
        print(f"memory at most, in MB: {peaks}")
        assert site.wrong == []
        assert '"process died' not in server.log.read_text()
        assert max(peaks.values()) < MOST_MB
        assert len(site.ends) > 3 and site.ends["completed"] > count / 10
        for kind in ("scratch", "spool"):
            wait_for(lambda kind=kind: not list((server.data / kind).iterdir()))


@pytest.mark.timeout(600)
def test_some_hostile_files(tmp_path: Path) -> None:
    strangers(tmp_path, seed=3, count=20)


@pytest.mark.chaos
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", range(2))
def test_three_hundred_hostile_files(tmp_path: Path, seed: int) -> None:
    strangers(tmp_path, seed, count=300)
