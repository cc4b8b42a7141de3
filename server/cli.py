"""The `stembox` command. Imports what a command needs only when it runs.

Exit codes: 0; 1 for a failure, said in one line on standard error; 2 for wrong usage.
"""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from server import __version__
from server.commands import accounts, models, songs, upkeep
from server.commands.arguments import Command, Commands
from server.commands.quiet import quiet
from server.config import SPIN_COUNT, Config, forget_secrets, load
from server.errors import StemboxError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    code = _run(arguments)
    if (error := _unwritten()) is None:
        return code
    _fall_silent()
    if not isinstance(error, BrokenPipeError):
        print(f"stembox: standard output: {error.strerror}", file=sys.stderr)
    return code or 1


def _unwritten() -> OSError | None:
    """Why standard output does not take what it still holds; None where it does, or is closed."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        return error
    return None


def _fall_silent() -> None:
    """What standard output still holds goes nowhere: Python would fail once more at its exit."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: Sequence[str] | None) -> int:
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files are what the disk says
        sys.stdout.reconfigure(errors="surrogateescape")
    parser = build_parser()
    parsed = parser.parse_args(arguments)
    command: Command = parsed.command
    try:
        config = load(parsed.config, flags={
            "server.host": getattr(parsed, "host", None),
            "server.port": getattr(parsed, "port", None),
            "server.data_dir": getattr(parsed, "data_dir", None),
        })
        forget_secrets(os.environ)  # they are read, and decoders would inherit them
        set_environment(config)
        quiet(config)
        return command(parsed, config)
    except StemboxError as error:
        print(f"stembox: {error.message}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1
    except OSError as error:
        if error.filename is None and _unwritten() is not None:
            return 1  # it was a print: `main` tells of that
        place = f"{error.filename}: " if error.filename else ""
        print(f"stembox: {place}{error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def set_environment(config: Config) -> None:
    """What libraries read from the environment, for this process and all it starts."""
    # Compiled kernels live in the data directory: a second start does not compile.
    os.environ.setdefault("NUMBA_CACHE_DIR", str(config.data_dir / "cache" / "numba"))
    # How often OpenMP's threads look before they sleep while they wait for each other. By
    # default so often that a core shared with another process makes the model five times
    # slower; never looking costs a tenth on idle cores.
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    # An audio worker is one of as many as there are cores: two threads for numpy's products would
    # take twice the core-seconds and save a tenth of the time.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # librosa's helper would try to make a semaphore, which a confined worker may not.
    os.environ.setdefault("JOBLIB_MULTIPROCESSING", "0")


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="stembox", description="Turns songs into stems.")
    parser.add_argument("--version", action="version", version=f"stembox {__version__}")
    commands = Commands(parser, "COMMAND")
    server = commands.add("serve", serve, "run the server")
    server.add_argument("--host")
    server.add_argument("--port")
    for room in (songs, models, accounts, upkeep):
        room.declare(commands)
    commands.add("bench", bench, "measure this machine; writes loadtests/bench.json")
    return parser


def serve(_: argparse.Namespace, config: Config) -> int:
    """`stembox serve`."""
    from server.app import serve as run

    run(config)
    return 0


def bench(_: argparse.Namespace, config: Config) -> int:
    """`stembox bench`."""
    try:
        from loadtests.bench import run
    except ModuleNotFoundError as error:
        raise StemboxError(f"{error.name} is missing: pip install 'stembox[dev]'") from None
    return run()


if __name__ == "__main__":
    sys.exit(main())
