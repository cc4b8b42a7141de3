"""Where a page of an account's long list begins: found by counts of blocks, not by walking."""

import sqlite3
from collections.abc import Iterable
from typing import Any, NamedTuple

from store.statements import load

SQL = load("tallies")
FINE, COARSE = 10, 15  # bits of a number that its blocks leave out; select_jobs knows the first
NO_LAST = 2**62


class Spot(NamedTuple):
    """Where a page begins: so many rows into this block of numbers; `total`: rows of the list."""

    block: int
    skip: int
    total: int


def find_spot(
    db: sqlite3.Connection, name: str, account_id: str, kind: str | None, offset: int
) -> Spot:
    """The place of the `offset`-th row, from the newest on, of an account's list.

    kind: only rows of this kind; None for all.
    """
    values: dict[str, Any] = {"list": name, "account_id": account_id, "kind": kind}

    def counts(shift: int, first: int, last: int) -> list[tuple[int, int]]:
        asked = values | {"shift": shift, "first": first, "last": last}
        return [tuple(row) for row in db.execute(SQL["select_blocks"], asked)]

    coarse = seek(counts(COARSE, 0, NO_LAST), offset)
    first = coarse.block << COARSE - FINE
    fine = seek(counts(FINE, first, first + (1 << COARSE - FINE) - 1), coarse.skip)
    return fine._replace(total=coarse.total)


def seek(blocks: Iterable[tuple[int, int]], offset: int) -> Spot:
    """The place of a row in blocks of (number, rows), the newest first. Pure.

    Past the end it is a place where nothing lies.
    """
    spot, total = None, 0
    for block, rows in blocks:
        if spot is None and offset < total + rows:
            spot = block, offset - total
        total += rows
    return Spot(*(spot or (-1, 0)), total)
