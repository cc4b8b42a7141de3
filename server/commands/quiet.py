"""What is logged while a command runs."""

import msgspec

from server.config import Config


def quiet(config: Config) -> None:
    """Errors alone are logged, on standard error: a command says itself what it has done, and its
    standard output is for that. A server sets its logs up anew."""
    from server.logs import set_up_logs

    set_up_logs(msgspec.structs.replace(config.log, level="error"))
