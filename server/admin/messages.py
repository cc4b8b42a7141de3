"""What the command line asks of whoever holds the database, and what it is answered. Data."""

import hashlib
import hmac

from msgspec import Struct, structs

BOTH_APIS = ("pipeline", "stemsplit")
LONGEST = 1 << 20  # bytes of a command
LONGEST_ANSWER = 1 << 28  # a million keys
PATIENCE_S = 30.0
SNAPSHOT_S = 1800.0  # a large database on a slow disk


class OfAccount(Struct, frozen=True):
    """What concerns the account of this name. Blanks at its ends are slips, and no part of it."""

    account: str

    def __post_init__(self) -> None:
        """Takes them off, before anything goes by the name."""
        structs.force_setattr(self, "account", self.account.strip())


class CreateKey(OfAccount, frozen=True, tag=True):
    """A new key for the account, which is made if need be; with credits, if there are any.

    reference: names the credits, which are given once under it. scopes: what the key opens, of
    keys.SCOPES. requests_per_minute: its own limit. test: a test key.
    """

    minutes: float
    reference: str = ""
    scopes: tuple[str, ...] = BOTH_APIS
    requests_per_minute: int | None = None
    test: bool = False


class Asked(Struct, frozen=True):
    """A command on its way, with what shows that who asks may read the server's secret. Whoever
    reaches the socket is of the same user, but may be a decoder in the hands of a stranger's file.
    """

    proof: str
    command: "Command"


class ListKeys(Struct, frozen=True, tag=True):
    """All keys."""


class RevokeKeys(Struct, frozen=True, tag=True):
    """Revokes the keys that begin so."""

    prefix: str


class Grant(OfAccount, frozen=True, tag=True):
    """Gives credits to an account. reference: names them: they are given once under it."""

    minutes: float
    reference: str = ""


class ShowCredits(OfAccount, frozen=True, tag=True):
    """An account's balance and ledger."""


class ShowSecret(OfAccount, frozen=True, tag=True):
    """What signs `callback_url` calls: of an account's jobs, or ("") of jobs of nobody's."""


class Snapshot(Struct, frozen=True, tag=True):
    """Copies the database as it is at one moment; answers with the copy's path."""


class Done(Struct, frozen=True, tag=True):
    """`text` is for standard output."""

    text: str


class Refused(Struct, frozen=True, tag=True):
    """`reason` is for standard error."""

    reason: str


class Unsure(Struct, frozen=True, tag=True):
    """Nobody knows whether the command was carried out."""

    reason: str


Answer = Done | Refused | Unsure
Command = CreateKey | ListKeys | RevokeKeys | Grant | ShowCredits | ShowSecret | Snapshot


def proof_of(secret: bytes) -> str:
    """What only who can read the server's secret can say."""
    return hmac.new(secret, b"stembox admin", hashlib.sha256).hexdigest()


def patience_for(command: Command) -> float:
    """Seconds that a command may take."""
    return SNAPSHOT_S if isinstance(command, Snapshot) else PATIENCE_S
