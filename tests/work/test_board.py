"""Who sits where on the board."""

from server.work.board import Board


def test_every_worker_has_a_seat_and_the_api_process_is_none() -> None:
    board = Board({"separation": 1, "two-parts": 2})
    assert board.workers == [("separation", "separation-0"), ("two-parts", "two-parts-0"),
                             ("two-parts", "two-parts-1")]  # fmt: skip
    for pool, name in board.workers:
        number = int(name.rpartition("-")[2])
        assert board.seats[board.seat(pool, number)] == name
        assert board.pool_of(board.seat(pool, number)) == pool
    assert Board({}).workers == []
