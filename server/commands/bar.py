"""A progress bar on standard error, for commands that take long."""

import time

BAR_SECONDS = 0.2  # a bar is drawn no more often than this


class Bar:
    """A progress bar over the stages of one song, on standard error."""

    def __init__(self, name: str) -> None:
        from tqdm import tqdm

        self._next = 0.0
        self._bar = tqdm(total=100, desc=name, unit="%", leave=False, bar_format=(
            "{desc}: {bar} {n:3.0f} % {postfix} [{elapsed}]"))

    def __call__(self, stage: str, done: float) -> None:
        now = time.monotonic()
        if now < self._next and done < 1:
            return
        self._next = now + BAR_SECONDS
        self._bar.set_postfix_str(stage, refresh=False)
        self._bar.n = 100 * done
        self._bar.refresh()

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
