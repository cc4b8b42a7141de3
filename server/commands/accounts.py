"""`stembox keys` and `stembox credits`."""

import argparse

from server.admin.messages import (
    Command,
    CreateKey,
    Grant,
    ListKeys,
    RevokeKeys,
    ShowCredits,
    ShowSecret,
)
from server.config import Config


def create_key(arguments: argparse.Namespace, config: Config) -> int:
    """`stembox keys create`."""
    scopes = tuple(part.strip() for part in arguments.scopes.split(",") if part.strip())
    return carry_out(CreateKey(
        arguments.account, arguments.minutes, scopes=scopes,
        requests_per_minute=arguments.requests_per_minute, test=arguments.test,
    ), config)  # fmt: skip


def list_keys(_: argparse.Namespace, config: Config) -> int:
    """`stembox keys list`."""
    return carry_out(ListKeys(), config)


def revoke_keys(arguments: argparse.Namespace, config: Config) -> int:
    """`stembox keys revoke`."""
    return carry_out(RevokeKeys(arguments.prefix), config)


def show_secret(arguments: argparse.Namespace, config: Config) -> int:
    """`stembox keys secret`."""
    return carry_out(ShowSecret(arguments.account), config)


def grant(arguments: argparse.Namespace, config: Config) -> int:
    """`stembox credits grant`."""
    return carry_out(Grant(arguments.account, arguments.minutes, arguments.reference), config)


def show_credits(arguments: argparse.Namespace, config: Config) -> int:
    """`stembox credits show`."""
    return carry_out(ShowCredits(arguments.account), config)


def carry_out(command: Command, config: Config) -> int:
    """Has a command on accounts carried out, and prints what it says."""
    from server.admin import asking

    print(asking.carry_out(command, config.data_dir))
    return 0
