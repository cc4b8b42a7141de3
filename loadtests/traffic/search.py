"""How many users there are when, as functions of the time; and the search for the most. Pure."""

from loadtests.traffic.profile import Shape

BURST_EVERY = 1 / 3  # of the run
BURST_PART = 1 / 10


def users_at(shape: Shape, at: float) -> int | None:
    """Users at `at` seconds of a ramp, a burst, a steady run or a soak; None when it is over."""
    if at >= shape.seconds:
        return None
    if shape.kind == "ramp":
        return max(1, round(shape.users * (at + 1) / shape.seconds))
    if shape.kind == "burst" and at % (shape.seconds * BURST_EVERY) >= shape.seconds * (
        BURST_EVERY - BURST_PART
    ):
        return shape.users + shape.burst_users
    return shape.users


class Search:
    """Finds the largest number of users that a step passes with: doubles until one fails, then
    halves what lies between."""

    def __init__(self, users: int) -> None:
        self.users = users
        self.best = 0
        self._failed: int | None = None

    def judge(self, passed: bool) -> int | None:
        """Takes a step's outcome; the users of the next step, None when the answer is found."""
        if passed:
            self.best = self.users
        else:
            self._failed = self.users
        if self._failed is None:
            self.users *= 2
        elif self._failed - self.best <= max(1, self.best // 10):
            return None
        else:
            self.users = (self.best + self._failed) // 2
        return self.users
