"""`stembox keys` and `stembox credits`."""

import argparse
import sys

from server.admin.messages import (
    Command,
    CreateKey,
    Grant,
    ListKeys,
    RevokeKeys,
    ShowCredits,
    ShowSecret,
)
from server.commands.arguments import Commands, text
from server.config import Config
from server.errors import StemboxError


def declare(commands: Commands) -> None:
    """Adds the commands of this module."""
    keys = commands.group("keys", "API keys: create, list, revoke; secret of callbacks")
    sub = keys.add("create", create_key, "make a key, which is shown this once")
    sub.add_argument("--account", type=text, required=True, metavar="NAME")
    sub.add_argument("--minutes", type=float, default=0.0, metavar="N",
                     help="credits to begin with")
    sub.add_argument("--scopes", default="pipeline,stemsplit", metavar="LIST",
                     help="what it opens: pipeline, stemsplit, admin")
    sub.add_argument("--requests-per-minute", type=int, metavar="N", help="a limit of its own")
    sub.add_argument("--test", action="store_true",
                     help="a test key: the starter serves it, and it costs nothing")
    keys.add("list", list_keys, "all keys by their first characters")
    sub = keys.add("revoke", revoke_keys, "revoke the keys that begin so")
    sub.add_argument("prefix", type=text, metavar="PREFIX")
    sub = keys.add("secret", show_secret, "what signs calls to callback_url")
    sub.add_argument("--account", type=text, default="", metavar="NAME",
                     help="of an account's jobs")

    credits = commands.group("credits", "credits: grant, show")
    sub = credits.add("grant", grant, "give credits to an account")
    sub.add_argument("--account", type=text, required=True, metavar="NAME")
    sub.add_argument("--minutes", type=float, required=True, metavar="N")
    sub.add_argument("--reference", type=text, default="", metavar="NAME",
                     help="a name that these credits are given once under")
    sub = credits.add("show", show_credits, "an account's balance and ledger")
    sub.add_argument("--account", type=text, required=True, metavar="NAME")


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

    said, more = asking.carry_out(command, config.data_dir), ""
    if isinstance(command, CreateKey):
        said, _, more = said.partition("\n")  # scripts take all of the output for the key
    try:
        print(said, flush=True)
    except OSError as error:
        if not isinstance(command, CreateKey | Grant):
            raise
        lost = f"what it says could not be written: {error.strerror}"
        if isinstance(command, CreateKey):
            lost += ". Nobody has seen the key: find it by `stembox keys list`, and revoke it"
        raise StemboxError(f"it was carried out, and must not be given again; {lost}") from None
    if more:
        print(f"stembox: {more}", file=sys.stderr)
    return 0
