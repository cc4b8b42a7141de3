"""Progress on standard error, for commands that take long: a bar, or lines where none is seen."""

import sys
import time

BAR_SECONDS = 0.2  # a bar is drawn no more often than this
LINE_SECONDS = 10.0  # and a line is written no more often: what goes into a file stays there


class Bar:
    """How far one song is. In a terminal a bar, which goes when it is done; in a file or a pipe a
    line now and then."""

    def __init__(self, name: str) -> None:
        from tqdm import tqdm

        self._name = name
        self._drawn = sys.stderr.isatty()
        self._pause = BAR_SECONDS if self._drawn else LINE_SECONDS
        self._next = 0.0 if self._drawn else time.monotonic() + LINE_SECONDS
        self._bar = tqdm(total=100, desc=name, unit="%", leave=False, disable=not self._drawn,
                         bar_format="{desc}: {bar} {n:3.0f} % {postfix} [{elapsed}]")

    def __call__(self, stage: str, done: float) -> None:
        now = time.monotonic()
        if now < self._next and (done < 1 or not self._drawn):
            return
        self._next = now + self._pause
        if not self._drawn:
            print(f"{self._name}: {100 * done:.0f} % {stage}", file=sys.stderr, flush=True)
            return
        self._bar.set_postfix_str(stage, refresh=False)
        self._bar.n = 100 * done
        self._bar.refresh()

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
