"""How commands say what they take: all of them the settings' file and the data directory."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

from server.config import Config
from server.sound import SAMPLE_RATE

Command = Callable[[argparse.Namespace, Config], int]


class Commands:
    """The commands of the program, or the actions of one of them (`keys create`)."""

    def __init__(self, parser: argparse.ArgumentParser, name: str) -> None:
        self._choices = parser.add_subparsers(metavar=name, required=True)

    def add(self, name: str, command: Command, help: str) -> argparse.ArgumentParser:
        """A command; what else it takes is added to what is returned."""
        parser = self._choices.add_parser(name, help=help, description=help)
        parser.set_defaults(command=command)
        add_common(parser)
        return parser

    def group(self, name: str, help: str) -> "Commands":
        """A command that is nothing without one of its actions."""
        return Commands(self._choices.add_parser(name, help=help, description=help), "ACTION")


def add_common(parser: argparse.ArgumentParser, **options: object) -> None:
    """What every command takes."""
    parser.add_argument("--data-dir", metavar="DIR", help="database, jobs and models", **options)  # type: ignore[arg-type]
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (TOML)",
                        **options)  # type: ignore[arg-type]  # fmt: skip


def count(text: str) -> int:
    """A number of one or more. Raises ValueError, which argparse tells."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def text(given: str) -> str:
    """What is kept as UTF-8. Raises ValueError, which argparse tells."""
    given.encode()
    return given


def seconds(text: str) -> float:
    """A time of at least one sample. Raises ValueError, which argparse tells."""
    time = float(text)
    if not 0.5 / SAMPLE_RATE < time < math.inf:
        raise ValueError
    return time
