"""Room on a small disk: what will still be written is counted before it is."""

import asyncio

import msgspec
import pytest
import structlog

from server import errors
from server.jobs.disk.room import files_of, room_of, with_room
from server.jobs.plan import split_plan
from server.presets.inferences import Inference, Signal
from server.sound import FRAME_BYTES, SAMPLE_RATE
from server.stems import FOUR
from server.work.messages import Options
from store.records import Room
from tests.jobs.disk.filling import FRAMES, SECONDS, Disk, World
from tests.jobs.disk.filling import play as play
from tests.jobs.test_dispatcher import OPTIONS
from tests.store.conftest import new_job


def test_what_lies_between_a_presets_passes_takes_room_too() -> None:
    options = msgspec.json.decode(OPTIONS, type=Options)
    steps = (
        Inference(model="a", overlap=0.1, signals=(Signal(name=".x", of={"x": 1.0}),)),
        Inference(model="b", overlap=0.1, input=".x", signals=(Signal(name=".y", of={"x": 1.0}),)),
        Inference(model="c", overlap=0.1, input=".y",
                  signals=(Signal(name="vocals", of={"x": 1.0}),)),
    )
    preset = msgspec.structs.replace(options, inferences=steps)
    model, more = (room_of("pipeline", each, SECONDS) for each in (options, preset))
    assert more.outputs == model.outputs
    assert more.scratch - model.scratch == 2 * FRAME_BYTES * (FRAMES + SAMPLE_RATE)
    assert files_of("stemsplit", preset) == 1 + len(options.stems) + 2


def test_what_accepted_jobs_will_write_is_not_given_away_again(play) -> None:
    async def test(world: World, disk: Disk) -> None:
        tracks = room_of("pipeline", msgspec.json.decode(OPTIONS, type=Options), SECONDS)
        await world.rooms.check(job=tracks)
        await world.add(4)
        with pytest.raises(errors.DiskFull):
            await world.rooms.check(job=tracks)
        with pytest.raises(errors.DiskFull):
            await world.rooms.check(disk.size // 4)
        await world.jobs.cancel("j00", "x", 1.0)
        await world.jobs.cancel("j01", "x", 1.0)
        await world.rooms.check(job=tracks)

    play(2.5, test)


def test_a_refusal_says_what_is_free_and_what_is_to_stay_so(play) -> None:
    async def test(world: World, disk: Disk) -> None:
        world.rooms._keep = 0.9
        disk.write(world.folders.spool / "x", disk.size // 2)
        with pytest.raises(errors.DiskFull), structlog.testing.capture_logs() as lines:
            await world.rooms.check(1)
        (line,) = lines
        assert 0 < line["free"] <= disk.size // 2 + 1
        assert line["stay_free"] == pytest.approx(0.9 * disk.size, abs=1)

    play(2.5, test)


def test_what_dead_attempts_wrote_is_still_to_be_written(play) -> None:
    async def test(world: World, disk: Disk) -> None:
        await world.add(1)
        await world.jobs.stages.claim("audio", "b/1", 1.0)
        before = (await world.rooms._left()).now
        disk.write(world.folders.scratch / "j00/vocals.f32", 1000)
        disk.write(world.folders.outputs / "j00/vocals.wav.8.part", 100)
        assert (await world.rooms._left()).now == before, "what is written as was booked"
        disk.write(world.folders.scratch / "j00/vocals.f32.7.part", 900)
        disk.write(world.folders.outputs / "j00/vocals.wav.7.part", 90)
        assert (await world.rooms._left()).now == before - 990

    play(2, test)


def test_promises_count_until_they_are_kept_or_forgotten(play) -> None:
    async def test(world: World, disk: Disk) -> None:
        half = disk.size // 2
        await asyncio.gather(world.rooms.promise("a", half), world.rooms.promise("b", half))
        with pytest.raises(errors.DiskFull):
            await world.rooms.promise("c", 1)
        world.rooms.forget("a")
        world.rooms.forget("a")
        await world.rooms.promise("c", half)

    play(2, test)


def test_many_promises_at_once_are_no_more_than_there_is(play) -> None:
    async def test(world: World, disk: Disk) -> None:
        told = await asyncio.gather(
            *(world.rooms.promise(str(n), disk.size // 10) for n in range(50)),
            return_exceptions=True)
        assert sum(isinstance(one, errors.DiskFull) for one in told) == 40

    play(2, test)


def test_one_caller_announces_as_much_as_is_left_free_and_the_next_finds_some(play) -> None:
    async def test(world: World, disk: Disk) -> None:
        async def most(caller: str) -> int:
            """How many tenths of the disk a caller may announce."""
            for number in range(20):
                try:
                    await world.rooms.promise(f"{caller}{number}", disk.size // 10, caller=caller)
                except errors.DiskFull:
                    return number
            raise AssertionError("no end")

        assert [await most(caller) for caller in ("ann", "bob", "cid")] == [5, 3, 1]
        await world.rooms.promise("a job's own", disk.size // 20)
        world.rooms.forget("bob0")
        assert await most("ann") == 0, "who has more than is left gets no more"

    play(2, test)


def test_one_upload_alone_may_be_as_large_as_there_is_room(play) -> None:
    async def test(world: World, disk: Disk) -> None:
        await world.rooms.promise("a", disk.size - 10, caller="ann")
        with pytest.raises(errors.DiskFull, match="once the others that you have under way are"):
            await world.rooms.promise("b", 10, caller="ann")
        await world.rooms.promise("b", 10, caller="bob")
        with pytest.raises(errors.DiskFull, match="no new work is accepted"):
            await world.rooms.promise("c", 1, caller="cid")

    play(2, test)


def test_what_has_arrived_is_not_counted_twice(play) -> None:
    async def test(world: World, disk: Disk) -> None:
        half, spool = disk.size // 2, world.folders.spool
        await world.rooms.promise("a", half, caller="ann", place=spool / "a")
        await world.rooms.promise("b", half // 2, caller="bob", place=spool / "b")
        disk.write(spool / "a/input", half - 100)
        disk.write(spool / "b", half // 2)
        await world.rooms.promise("c", disk.size - half - half // 2, caller="cid")
        with pytest.raises(errors.DiskFull):
            await world.rooms.promise("d", 1)

    play(2, test)


@pytest.mark.parametrize("format", ["WAV", "MP3", "FLAC"])
def test_the_room_of_a_job_holds_all_its_files(format: str) -> None:
    options = msgspec.structs.replace(
        msgspec.json.decode(OPTIONS, type=Options), format=format, wav_format="PCM_24")
    job = new_job("a", 1.0, split_plan(FOUR, True), msgspec.json.encode(options).decode(),
                  api="stemsplit")
    room = with_room(job, SECONDS).room
    assert room.scratch >= 5 * FRAMES * FRAME_BYTES
    sound = 320_000 / 8 * SECONDS if format == "MP3" else FRAMES * 6
    assert 4 * sound < room.outputs < 8 * sound
    assert job.room == Room()
