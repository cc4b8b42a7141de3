"""`stembox backup`, `restore` and `audit`."""

import argparse

from server.commands.quiet import quiet
from server.config import Config


def backup(arguments: argparse.Namespace, config: Config) -> int:
    """`stembox backup`."""
    from server.upkeep import commands

    quiet(config)
    return commands.backup(arguments, config)


def restore(arguments: argparse.Namespace, config: Config) -> int:
    """`stembox restore`."""
    from server.upkeep import commands

    quiet(config)
    return commands.restore(arguments, config)


def audit(_: argparse.Namespace, config: Config) -> int:
    """`stembox audit`."""
    from server.upkeep import commands

    quiet(config)
    return commands.audit(config)
