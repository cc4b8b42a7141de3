"""A clock that jumps: what is due is sent, forgotten and begun as if it had not."""

import pytest

from store import AnsweredBefore, ClockRepository, IdempotencyRecord
from store.uploads import VALID_SECONDS, Ticket
from tests.jobs.jumping import HOUR, ONE, Machine
from tests.jobs.jumping import play as play
from tests.store.conftest import new_job


@pytest.mark.parametrize("jump", [25 * HOUR, -25 * HOUR])
def test_deliveries_keep_their_schedule(play, jump: float) -> None:
    async def test(machine: Machine) -> None:
        await machine.minute()
        await machine.job("told", callback="http://c")
        machine.status = 500
        for pause in (0, 5, 30, 120, 600):
            machine.passes(pause)
            await machine.minute()
        assert len(machine.posts) == 5
        machine.wall += jump  # the next attempt is in an hour
        await machine.minute()
        machine.passes(HOUR - 10)
        await machine.minute()
        assert len(machine.posts) == 5, "not because of the jump"
        machine.passes(20)
        await machine.minute()
        assert len(machine.posts) == 6, "and not a day later"

    play(test)


@pytest.mark.parametrize("jump", [25 * HOUR, -25 * HOUR])
def test_a_job_that_ends_between_the_jump_and_the_next_look_is_told_of_at_once(
    play, jump: float
) -> None:
    async def test(machine: Machine) -> None:
        await machine.minute()
        await machine.job("before", callback="http://before")
        machine.wall += jump
        await machine.job("after", callback="http://after")
        machine.status = 200
        await machine.minute()
        assert sorted(machine.posts) == ["http://after", "http://before"]

    play(test)


@pytest.mark.parametrize("jump", [25 * HOUR, -25 * HOUR])
def test_idempotency_keys_are_remembered_as_long_as_promised(play, jump: float) -> None:
    async def known(machine: Machine, key: str = "k") -> bool:
        now = await machine.clock.check()
        try:
            await machine.jobs.check_idempotency(machine.account, key, now - 24 * HOUR)
        except AnsweredBefore:
            return True
        return False

    async def test(machine: Machine) -> None:
        await machine.clock.check()
        record = IdempotencyRecord("k", "h", "{}", 0.0)
        await machine.jobs.create(new_job("j", machine.wall, ONE, account_id=machine.account,
                                          idempotency_record=record))
        machine.passes(HOUR)
        machine.wall += jump
        assert await known(machine), "a repeated order would be a second job"
        machine.passes(22 * HOUR)
        assert await known(machine)
        machine.passes(48 * HOUR)
        assert not await known(machine)

    play(test)


@pytest.mark.parametrize(("apart", "back"), [(1.0, 25 * HOUR), (0.9 * HOUR, HOUR)])
def test_jobs_that_wait_keep_their_turn(play, apart: float, back: float) -> None:
    """However long they have waited when the clock goes back."""
    async def test(machine: Machine) -> None:
        await machine.clock.check()
        for name in ("first", "second"):
            await machine.job(name, end=False)
            machine.passes(apart)
            await machine.clock.check()
        machine.wall -= back
        await machine.clock.check()
        await machine.job("third", end=False)
        order = [(await machine.jobs.stages.claim("audio", f"b/{n}", machine.wall)).job.id
                 for n in range(3)]
        assert order == ["first", "second", "third"]

    play(test)


def test_what_happened_in_a_time_still_to_come_goes_in_its_time(play) -> None:
    """A clock that was a year ahead keeps no files for a year, nor anybody's room for uploads."""
    year = 365 * 24 * HOUR

    async def test(machine: Machine) -> None:
        await machine.minute()
        machine.wall += year
        await machine.minute()
        machine.status = 200
        await machine.job("ahead", callback="http://told")
        await machine.tickets.add(Ticket("uploads/ann/x/input.mp3", machine.account, "a.mp3",
                                         machine.wall + VALID_SECONDS))
        await machine.minute()
        machine.wall -= year
        await machine.minute()
        for _ in range(30):  # more than is kept, and than the jump is doubted
            machine.passes(24 * HOUR)
            await machine.minute()
        assert machine.kept() == set()
        assert await machine.tickets.get("uploads/ann/x/input.mp3") is None

    play(test)


@pytest.mark.parametrize("boot", ["boot", "another"])
def test_a_clock_that_was_behind_for_a_while_changes_no_dates(play, boot: str) -> None:
    """One without a battery, until it is set; or set wrong by hand, and right again."""
    years = 2 * 365 * 24 * HOUR

    async def test(machine: Machine) -> None:
        await machine.minute()
        await machine.job("song")
        before = await machine.jobs.get("song")
        machine.passes(12 * HOUR)
        await machine.minute()
        machine.boot = boot
        machine.wall -= years
        await machine.minute()
        machine.passes(60)
        machine.wall += years
        for _ in range(9):  # longer than the jumps are doubted
            await machine.minute()
            assert (await machine.jobs.get("song")).completed_at == before.completed_at
            machine.passes(24 * HOUR)

    play(test)


def test_a_move_that_cannot_be_written_is_made_up_for(play, monkeypatch) -> None:
    async def test(machine: Machine) -> None:
        await machine.minute()
        await machine.job("old")
        machine.wall += 25 * HOUR
        move = ClockRepository.move

        async def full(*_: object) -> None:
            raise OSError("full")

        monkeypatch.setattr(ClockRepository, "move", full)
        with pytest.raises(OSError, match="full"):
            await machine.clock.check()
        await machine.janitor.sweep(machine.wall)
        assert machine.kept() == {"old"}
        moved: list[float] = []

        async def seen(self: ClockRepository, record: str, jump: float, now: float) -> None:
            moved.append(jump)
            await move(self, record, jump, now)

        monkeypatch.setattr(ClockRepository, "move", seen)
        await machine.clock.check()
        await machine.clock.check()
        assert moved == [25 * HOUR], "once, and not twice"

    play(test)
