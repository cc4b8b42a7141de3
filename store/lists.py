"""Where a page of an account's long list begins: found by counts of blocks, not by walking there."""

import sqlite3
from collections.abc import Iterable
from typing import Any, NamedTuple

from store.statements import load

SQL = load("tallies")


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
    statement = "select_blocks" if kind is None else "select_blocks_of_kind"
    return seek(map(tuple, db.execute(SQL[statement], values)), offset)


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
