"""One job whose stages are played by hand, on real folders and a real database."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from server.audio.peaks import PeakMeter
from server.audio.writing.encode import encode
from server.audio.writing.whole_file import write_peaks
from server.jobs.disk.folders import PEAKS_FOLDER, Folders
from server.jobs.disk.places import ScratchPlaces
from server.jobs.listening.listening import Listening
from server.jobs.plan import PIPELINE, split_plan
from server.stems import FOUR, OUTPUTS
from server.tracks import TRACKS, track_path
from server.work.messages import Options
from server.work.steps import finish
from store import Claim, Database, Job, JobRepository, Track
from tests.audio.making import song, write_mix
from tests.jobs.disk.test_places import Usage
from tests.store.conftest import new_job

OPTIONS = Options(file_name="a.wav", model="m", overlap=0.25, wav_format="PCM_16",
                  target_lufs=-14, true_peak_dbtp=-1, max_seconds=60)  # fmt: skip
FRAMES = 3 * 44100 + 5
GAIN = 0.4  # of `main`


class World:
    """The job, what it sounds like, and where its files are."""

    def __init__(self, database: Database, folders: Folders, api: str, output_type: str) -> None:
        self.jobs = JobRepository(database)
        self.folders = folders
        self.places = ScratchPlaces(folders)
        self.listening = Listening(self.jobs, folders)
        self.api, self.output_type = api, output_type
        names = {"pipeline": (*TRACKS, "mix"), "stemsplit": (*OUTPUTS[output_type], "mix")}[api]
        self.sounds = {name: song(4, seed)[:FRAMES] for seed, name in enumerate(names)}
        if api == "stemsplit" and len(names) > 2:
            self.sounds["mix"] = sum(self.sounds[name] for name in names if name != "mix")
        if api == "pipeline":
            self.sounds["percussive"] = self.sounds["mix"] - self.sounds["harmonic"]
        self.gain = GAIN
        self.sounds["main"] = self.sounds["mix"] * np.float32(GAIN)

    async def create(self) -> None:
        self.folders.create()
        stems = FOUR if self.api == "pipeline" else OUTPUTS[self.output_type]
        options = msgspec.structs.replace(OPTIONS, stems=stems)
        plan = PIPELINE if self.api == "pipeline" else split_plan(stems, True)
        await self.jobs.create(
            new_job(
                "j",
                1.0,
                plan,
                msgspec.json.encode(options).decode(),
                api=self.api,
                request=msgspec.json.encode(
                    {"seconds": 3.0, "output_type": self.output_type}
                ).decode(),
            )
        )
        (self.folders.scratch / "j").mkdir()
        self.places.open("j", 3.0)

    async def job(self) -> Job:
        found = await self.jobs.get("j")
        assert found is not None
        return found

    async def claim(self, pool: str) -> Claim:
        claim = await self.jobs.stages.claim(pool, "boot/1", 2.0)
        assert claim is not None
        return claim

    async def end(self, claim: Claim, tracks: Sequence[str] = (), **facts: object) -> None:
        written = {name: Track(self.path_of(name)) for name in tracks}
        await self.jobs.stages.finish(claim.stage, facts, written, 3.0)

    async def decode(self) -> None:
        claim = await self.claim("audio")
        self.write("mix.f32", "mix", FRAMES)
        meter = PeakMeter()
        meter.add(self.sounds["mix"])
        write_peaks(meter, self.peaks_of("mix"))
        await self.end(claim, frames=FRAMES)

    def path_of(self, name: str) -> str:
        return track_path(name) if self.api == "pipeline" else f"{name}.wav"

    def write(self, file: str, name: str, frames: int) -> Path:
        return write_mix(self.places.of("j") / file, self.sounds[name][:frames])

    def peaks_of(self, name: str) -> Path:
        return self.folders.outputs / "j" / PEAKS_FOLDER / name

    def encode(self, name: str) -> None:
        source = write_mix(self.folders.data_dir / "one.f32", self.sounds[name])
        target = self.folders.outputs / "j" / self.path_of(name)
        finish(encode(source, target, "PCM_16", peaks=self.peaks_of(name)))

    async def hear(
        self, *names: str, start: int = 0, count: int = FRAMES, samples: str = "f32"
    ) -> tuple[np.ndarray, list[int]]:
        """(frames, tracks, 2) of what is final, and how far each track is."""
        window = await self.listening.window("j", names, start, count)
        assert window is not None
        try:
            data = b"".join([await window.read(*span, samples) for span in window.spans()])
            kind = "<f4" if samples == "f32" else "<i2"
            found = np.frombuffer(data, kind).reshape(-1, len(names), 2)
            assert len(found) == window.frames
            return found, window.finals
        finally:
            window.close()


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # How full the machine is that runs the tests decides nothing.
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(1e12, 0, 1e12))

    def run(
        test: Callable[[World], Awaitable[None]],
        api: str = "pipeline",
        output_type: str = "FOUR_STEMS",
        fast: bool = False,
    ) -> None:
        async def main() -> None:
            folders = Folders(tmp_path / "data", tmp_path if fast else None)
            folders.create()
            async with Database(tmp_path / "t.db") as database:
                world = World(database, folders, api, output_type)
                await world.create()
                await test(world)
                assert world.listening._windows._taken.total() == 0

        asyncio.run(main())

    return run


async def make_all_tracks(world: World) -> None:
    """All that follows a pipeline job's decoding."""
    separation, parts = await world.claim("separation"), await world.claim("audio")
    for name in TRACKS:
        world.encode(name)
    await world.end(separation, stems=FOUR, peak=1.0)
    await world.end(parts, ("harmonic", "percussive"))
    await world.end(await world.claim("audio"), FOUR)
    await world.end(await world.claim("audio"), gains={"main": world.gain})
    await world.end(await world.claim("audio"), ("main", "main_harmonic", "main_percussive"))
