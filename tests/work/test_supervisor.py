"""When a process is killed, and when what died is started again, by a clock of the test's own."""

import pytest
from structlog.testing import capture_logs

from server.work import board as board_module
from server.work.board import Board
from server.work.supervisor import (
    CALM_SECONDS,
    FIRST_PAUSE,
    IN_SECONDS,
    LAST_PAUSE,
    LONGEST_PAUSE,
    SHORTEST_LIFE,
    Breaker,
    RestartBackoff,
    Supervisor,
)


class Pretended:
    """A process that lives until it is killed or dies."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.exitcode: int | None = None
        self.kills = 0

    def is_alive(self) -> bool:
        return self.exitcode is None

    def kill(self) -> None:
        self.kills += 1
        self.exitcode = -9


class House:
    """Two audio workers, a probe worker, the API process, and the clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(board_module.time, "monotonic", lambda: self.now)
        self.board = Board({"audio": 2, "probe": 1})
        self.supervisor = Supervisor(self.board, self.now, start_seconds=50, stall_seconds=20)
        self.processes = [Pretended(pid) for pid in range(4)]
        self.pids = 4

    def look(self) -> list[int]:
        """A look; what is due is started, and has not yet shown itself."""
        due = self.supervisor.look(self.processes, self.now)
        for seat in due:
            self.supervisor.started(seat, self.now)
            self.processes[seat] = Pretended(self.pids)
            self.pids += 1
        return due

    def wait(self, seconds: float, signs: tuple[int, ...] = ()) -> list[int]:
        """Time passes, with a look each second and signs of life from some; all that was due."""
        due = []
        for _ in range(round(seconds)):
            self.now += 1
            for seat in signs:
                self.board.give_sign(seat)
            due += self.look()
        return due


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> House:
    return House(monkeypatch)


ALL = (0, 1, 2, 3)
API = 3


def test_names(house: House) -> None:
    assert house.board.seats == ("audio-0", "audio-1", "probe-0", "api")
    assert [house.board.pool_of(seat) for seat in ALL] == ["audio", "audio", "probe", None]
    assert (house.board.seat("probe", 0), house.board.api) == (2, API)


def test_an_api_process_that_falls_silent_is_killed_and_replaced(house: House) -> None:
    house.wait(30, ALL)
    assert house.wait(20) == [] and house.processes[API].is_alive()
    victim = house.processes[API]
    with capture_logs() as lines:
        assert house.wait(3) == [API]
    assert (victim.kills, house.processes[API].is_alive()) == (1, True)
    assert lines[0]["event"] == "process hangs: killing it" and lines[0]["process"] == "api"
    assert house.wait(40, ALL) == [], "the new one has all its time to start"


def test_what_never_shows_itself_is_killed_at_the_deadline_of_its_start(house: House) -> None:
    victims = house.processes[:]
    assert house.wait(50, (0, API)) == []
    assert sorted(house.wait(3, (0, API))) == [1, 2]
    assert [victim.kills for victim in victims] == [0, 1, 1, 0]
    assert house.wait(49, (0, API)) == [], "and so has the next"
    assert sorted(house.wait(4, (0, API))) == [1, 2]


def test_an_idle_worker_may_be_silent_for_ever(house: House) -> None:
    house.wait(1, ALL)
    assert house.wait(10_000, (API,)) == []


def test_a_worker_that_does_not_find_the_next_api_process_is_killed(house: House) -> None:
    house.wait(10, ALL)
    house.processes[API].kill()
    stuck = house.processes[1]
    assert house.wait(51, (0, 2, API)) == [API]
    house.wait(3, (0, 2, API))
    assert stuck.kills == 1 and house.processes[0].kills == 0


def test_whoever_was_stopped_with_all_the_others_kills_nobody(house: House) -> None:
    """The group was stopped for an hour, or the machine slept, and the supervisor looks first."""
    house.wait(5, ALL)
    house.now += 3600
    assert house.look() == []
    assert house.wait(18) == [], "the API process gets its time to wake up"
    assert house.wait(100, (API,)) == []


def test_three_deaths_in_a_minute_open_the_pools_breaker(house: House) -> None:
    house.wait(100, ALL)
    for number in range(3):
        assert house.board.pause("audio") == 0
        house.processes[number % 2].kill()
        restarted = house.wait(1, ALL)
        assert restarted == ([number % 2] if number < 2 else [])
    assert house.board.pause("audio") > 0 and house.board.pause("probe") == 0
    house.processes[2].kill()
    assert house.wait(1, ALL) == [2], "other pools have nothing to do with it"
    assert house.wait(FIRST_PAUSE + 1, ALL) == [0]
    assert house.board.pause("audio") == 0


def test_three_deaths_over_hours_open_nothing(house: House) -> None:
    for _ in range(5):
        house.wait(IN_SECONDS + 5, ALL)
        house.processes[0].kill()
        assert house.wait(2, ALL) == [0]
    assert house.board.pause("audio") == 0


def test_what_takes_a_minute_to_load_and_then_dies_opens_it_too(house: House) -> None:
    """Three deaths in three minutes: a clock alone would let it go on for ever."""
    house.wait(1, (0, 1, API))
    for number in range(3):
        assert house.board.pause("probe") == 0, number
        house.wait(48, (0, 1, API))  # it loads, is ready, and dies
        house.wait(1, ALL)
        house.processes[2].kill()
        house.wait(1, (0, 1, API))
    assert house.board.pause("probe") > 0


SONG, OTHER, THIRD = 2**64 - 1, 7, 8  # marks of what is in hand


def dies_over(house: House, seat: int, *marks: int) -> list[int]:
    """A worker's death with that in hand; what was started in the next second."""
    house.board.set_current_work(seat, marks)
    house.processes[seat].kill()
    return house.wait(1, ALL)


def test_a_song_that_kills_its_workers_closes_no_pool(house: House) -> None:
    """Nor are others started later for it, whoever has it in hand."""
    house.wait(100, ALL)
    for number in range(30):
        assert dies_over(house, number % 2, SONG, OTHER) == [number % 2], number
    assert house.board.pause("audio") == 0
    for marks in ([THIRD], []):
        assert house.board.pause("audio") == 0
        dies_over(house, 0, *marks)
        house.wait(1, ALL)
    assert house.board.pause("audio") > 0, "together with what has nothing to do with it"


def test_a_pool_that_dies_over_one_song_after_the_other_is_closed(house: House) -> None:
    house.wait(100, ALL)
    for song in (SONG, OTHER):
        dies_over(house, 0, song)
        dies_over(house, 0, song)
    assert house.board.pause("audio") == 0
    dies_over(house, 1, THIRD)
    assert house.board.pause("audio") > 0


def test_what_was_in_hand_is_not_held_against_the_next_worker(house: House) -> None:
    """It dies as it loads, for reasons of its own."""
    house.wait(100, ALL)
    dies_over(house, 0, SONG)
    assert house.board.current_work(0) == frozenset()
    for _ in range(2):
        house.processes[0].kill()
        house.wait(2, ALL)
    assert house.board.pause("audio") > 0


def test_a_new_api_process_takes_nothing_out_of_anyones_hand(house: House) -> None:
    house.wait(10, ALL)
    house.board.set_current_work(0, [SONG])
    house.processes[API].kill()
    assert house.wait(1, (0, 1, 2)) == [API]
    assert house.board.current_work(0) == {SONG}


@pytest.mark.parametrize(("deaths", "opens"), [
    ([{1, 2, 3}, {1}, {2}, {3}], True),  # whoever runs alone after a common death dies: the pool
    ([{1, 2, 3}, {2}, {2}, {2}], False),  # one of them was to blame for all
    ([{1, 2}, {2, 3}, {2, 4}, {2}], False),
    ([{1, 2}, {2, 3}, {3}, set()], True),  # one, then another, then none
    ([set(), set(), {1}], True),
    ([{1}, set(), {1}, {1}], False),
])  # fmt: skip
def test_of_works_that_were_in_hand_together_one_is_to_blame(
    deaths: list[set[int]], opens: bool
) -> None:
    breaker = Breaker()
    opened = [breaker.died(1000.0, 0.0, frozenset(over)) for over in deaths]
    assert opened == [False] * (len(deaths) - 1) + [opens]


def test_more_in_hand_than_the_board_has_room_for() -> None:
    board = Board({"separation": 1})
    board.set_current_work(0, range(10 * board_module.MOST_MARKS))
    assert board.current_work(0) == frozenset(range(board_module.MOST_MARKS))
    board.set_current_work(0, ())
    assert board.current_work(0) == frozenset()


def test_a_breakers_pauses_grow_and_end() -> None:
    breaker, now, pauses = Breaker(), 1000.0, []
    for _ in range(7):
        assert [breaker.died(now, 0.0) for _ in range(3)] == [False, False, True]
        assert breaker.is_open(now) and not breaker.died(now + 1, 0.0)
        pauses.append(breaker.pause)
        now = breaker.closes
        assert not breaker.is_open(now)
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == LAST_PAUSE
    now += CALM_SECONDS + 1
    assert [breaker.died(now, 0.0) for _ in range(3)][-1] and breaker.pause == FIRST_PAUSE


def test_what_dies_young_is_replaced_more_and_more_slowly() -> None:
    backoff, now, pauses = RestartBackoff(), 100.0, []
    for _ in range(9):
        backoff.died(now)
        pauses.append(backoff.pause)
        now = backoff.due + 1
        backoff.started(now)
        assert backoff.due is None
        now += 1
    assert pauses[0] == 0.0, "the first death is made good at once"
    assert pauses[1:4] == [0.5, 1.0, 2.0]
    assert pauses[-1] == LONGEST_PAUSE


def test_what_died_of_a_file_that_is_known_is_replaced_at_once() -> None:
    backoff, now = RestartBackoff(), 100.0
    for _ in range(9):
        backoff.died(now, known=True)
        assert backoff.due == now
        backoff.started(now)
        now += 1


def test_what_lived_long_is_replaced_at_once() -> None:
    backoff = RestartBackoff()
    backoff.died(0.0)
    backoff.started(1.0)
    backoff.died(2.0)
    backoff.started(3.0)
    backoff.died(3.0 + SHORTEST_LIFE)
    assert backoff.pause == 0.0
