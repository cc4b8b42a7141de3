"""Renders of the one job that is played: orders, and a worker that runs the real stages."""

import asyncio
from typing import Any

import msgspec

from server.audio.rendering.stages import RENDERING
from server.config import load
from server.errors import WorkerLost
from server.jobs.disk.room import DiskRoom
from server.jobs.listening.mixing import MixOrder
from server.jobs.listening.renders import Renders
from server.stems import OUTPUTS
from server.work.channel import failure, to_error
from server.work.messages import Result, Task
from server.work.steps import finish
from store import Job
from tests.jobs.playing import World, make_all_tracks

STEP = 2**-15
PLAIN = MixOrder({}, (), (), 0.0, None, "WAV")


def order(**changes: Any) -> MixOrder:
    return msgspec.structs.replace(PLAIN, **changes)


class Crew:
    """A worker that does what it is told, or dies."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.deaths = 0
        self.gate: asyncio.Event | None = None

    async def reserve(self, pool: str, due: float) -> "Crew":
        assert pool == "audio"
        return self

    async def run(self, task: Task) -> Result:
        task = msgspec.msgpack.decode(msgspec.msgpack.encode(task), type=Task)
        self.tasks.append(task)
        if self.gate is not None:
            await self.gate.wait()
        if self.deaths:
            self.deaths -= 1
            raise WorkerLost("audio-0 died")
        try:
            return await asyncio.to_thread(finish, RENDERING[task.stage](task))
        except Exception as error:
            raise to_error(failure(task.id, error)) from error


def renders_of(world: World, crew: Crew, keep_percent: float = 0) -> Renders:
    config = load(environ={}, flags={})
    rooms = DiskRoom(world.jobs.rooms, world.folders, keep_percent)
    return Renders(config, world.jobs, world.folders, crew, rooms)  # type: ignore[arg-type]


async def complete(world: World) -> Job:
    """The job with all its tracks."""
    await world.decode()
    if world.api == "pipeline":
        await make_all_tracks(world)
    else:
        await world.end(await world.claim("audio"), bpm=None, key=None)
        await world.end(await world.claim("separation"), peak=0.5)
        for stem in OUTPUTS[world.output_type]:
            world.encode(stem)
            await world.end(await world.claim("audio"), [stem])
    assert (await world.job()).state == "completed"
    return await world.job()
