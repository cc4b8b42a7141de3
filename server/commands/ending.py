"""How commands end that leave nothing behind."""

import signal


def at_signals() -> None:
    """From now on SIGTERM and SIGHUP end this process as Ctrl-C does: gigabytes of scratch must not
    stay beside the stems. What is ignored (`nohup` is in front) stays so."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def _end(number: int, _: object) -> None:
    raise SystemExit(128 + number)
