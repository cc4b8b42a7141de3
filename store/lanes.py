"""Which lanes of the outbox a look goes into: all, or as many as it can bear, and the next ones at
the next look."""

import sqlite3

from store.statements import load

SQL = load("webhooks")
MOST = 256
# A lane begins with its account, and with a blank where a job is nobody's.
NOBODYS, ACCOUNTS = (" ", "!"), ("!", "~")


class Rotation:
    """Goes round the lanes between two texts, `most` at a time.

    Attributes:
        cut: whether the last look left some out.
    """

    def __init__(self, first: str, end: str, most: int = MOST) -> None:
        self._first = self._behind = first
        self._end = end
        self._most = most
        self.cut = False

    def look(self, db: sqlite3.Connection) -> list[str]:
        """The lanes of this look."""
        values = {"behind": self._behind, "end": self._end, "most": self._most}
        found = [row[0] for row in db.execute(SQL["select_lanes"], values)]
        full = len(found) == self._most
        self.cut = full or self._behind != self._first
        self._behind = found[-1] if full else self._first
        return found
