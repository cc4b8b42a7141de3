"""The `stembox` command. Imports what a command needs only when it runs.

Exit codes: 0; 1 for a failure, said in one line on standard error; 2 for wrong usage.
"""

import argparse
import io
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from server import __version__
from server.commands import accounts, models, songs, upkeep
from server.commands.quiet import quiet
from server.config import SPIN_COUNT, Config, forget_secrets, load
from server.errors import StemboxError
from server.stems import OUTPUTS

Command = Callable[[argparse.Namespace, Config], int]
Actions = Mapping[str, tuple[Command, str, list[tuple[str, dict[str, Any]]]]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
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
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, command: Command, help: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help)
        sub.add_argument("--config", type=Path, metavar="FILE", help="settings (TOML)")
        sub.set_defaults(command=command)
        return sub

    def group(name: str, help: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=help, description=help)

    sub = add("serve", serve, "run the server")
    sub.add_argument("--host")
    sub.add_argument("--port")
    sub.add_argument("--data-dir", metavar="DIR")

    sub = add("separate", songs.separate, "separate files, without a server")
    sub.add_argument("files", nargs="+", type=Path, metavar="FILE")
    sub.add_argument("--out", type=Path, required=True, metavar="DIR")
    _add_order(sub, "WAV")
    sub.add_argument("--data-dir", metavar="DIR")

    sub = add("catalogue", songs.catalogue, "separate a catalogue of songs on Ray")
    sub.add_argument("input", metavar="INPUT",
                     help="manifest (.parquet, .csv, .jsonl), folder, or prefix of a bucket")
    sub.add_argument("--out", required=True, metavar="OUTPUT", help="a folder or prefix")
    sub.add_argument("--address", metavar="RAY", help="a Ray cluster; without it, this machine")
    sub.add_argument("--column", default="", metavar="NAME",
                     help="the manifest's column of paths or URLs")
    _add_order(sub, "FLAC")
    sub.add_argument("--stations", type=count, default=0, metavar="N",
                     help="models at once; without it, one for each card, or machine without one")
    sub.add_argument("--songs", type=count, default=0, metavar="N",
                     help="songs under way at each of them")
    sub.add_argument("--scratch", metavar="DIR", help="for songs under way, on every machine")
    sub.add_argument("--data-dir", metavar="DIR")

    sub = add("demo", songs.demo, "separate a song that stembox makes itself")
    sub.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR")
    sub.add_argument("--seconds", type=seconds, default=30.0, metavar="S")
    sub.add_argument("--data-dir", metavar="DIR")

    sub = add("models", models.list_models, "list models, or pull one")
    sub.add_argument("--data-dir", metavar="DIR")
    sub.set_defaults(names=[])
    actions = sub.add_subparsers(metavar="ACTION")
    lister = actions.add_parser("list", help="models on this machine, and which tier each serves")
    lister.add_argument("--known", action="store_true", help="and those that pull knows by name")
    puller = actions.add_parser("pull", help="fetch models by name, from a URL or a folder")
    puller.add_argument("names", nargs="+", metavar="NAME[@REVISION]|URL|FOLDER")
    puller.add_argument("--any-licence", action="store_true",
                        help="also where nobody here knows the licence")
    puller.set_defaults(command=models.pull_models)
    for action in (lister, puller):
        action.add_argument("--data-dir", metavar="DIR", default=argparse.SUPPRESS)
        action.add_argument("--config", type=Path, metavar="FILE", help="settings (TOML)",
                            default=argparse.SUPPRESS)  # fmt: skip

    sub = add("quality", models.quality, "measure a model on songs with known stems")
    sub.add_argument("folder", type=Path, metavar="FOLDER",
                     help="a folder a song, with a file a stem (MUSDB18-HQ's layout)")
    sub.add_argument("--model", metavar="NAME", help="in place of the quality's")
    sub.add_argument("--quality", choices=["FAST", "BALANCED", "BEST"], default="BEST")
    sub.add_argument("--songs", type=count, metavar="N", help="the first of them alone")
    sub.add_argument("--seconds", type=seconds, metavar="S", help="of each song, from its start")
    sub.add_argument("--out", type=Path, default=Path("quality"), metavar="DIR",
                     help="where quality.json, .md and .png are written")
    sub.add_argument("--data-dir", metavar="DIR")

    sub = group("keys", "API keys: create, list, revoke; secret of callbacks")
    add_actions(sub, {
        "create": (accounts.create_key, "make a key, which is shown this once", [
            ("--account", dict(type=text, required=True, metavar="NAME")),
            ("--minutes", dict(type=float, default=0.0, metavar="N", help="credits to begin with")),
            ("--scopes", dict(default="pipeline,stemsplit", metavar="LIST",
                              help="what it opens: pipeline, stemsplit, admin")),
            ("--requests-per-minute", dict(type=int, metavar="N", help="a limit of its own")),
            ("--test", dict(action="store_true",
                            help="a test key: the starter serves it, and it costs nothing")),
        ]),
        "list": (accounts.list_keys, "all keys by their first characters", []),
        "revoke": (accounts.revoke_keys, "revoke the keys that begin so", [
            ("prefix", dict(type=text, metavar="PREFIX")),
        ]),
        "secret": (accounts.show_secret, "what signs calls to callback_url", [
            ("--account", dict(type=text, default="", metavar="NAME",
                               help="of an account's jobs")),
        ]),
    })
    sub = group("credits", "credits: grant, show")
    add_actions(sub, {
        "grant": (accounts.grant, "give credits to an account", [
            ("--account", dict(type=text, required=True, metavar="NAME")),
            ("--minutes", dict(type=float, required=True, metavar="N")),
            ("--reference", dict(type=text, default="", metavar="NAME",
                                 help="a name that these credits are given once under")),
        ]),
        "show": (accounts.show_credits, "an account's balance and ledger", [
            ("--account", dict(type=text, required=True, metavar="NAME")),
        ]),
    })

    sub = add("backup", upkeep.backup, "keep database and secret in a file, while the server runs")
    sub.add_argument("file", type=Path, metavar="FILE")
    sub.add_argument("--outputs", action="store_true", help="and all files of jobs, and uploads")
    sub.add_argument("--data-dir", metavar="DIR")

    sub = add("restore", upkeep.restore, "make an empty data directory from a backup")
    sub.add_argument("file", type=Path, metavar="FILE")
    sub.add_argument("--data-dir", metavar="DIR")

    sub = add("audit", upkeep.audit,
              "hold ledger, jobs, deliveries and files against their promises")
    sub.add_argument("--data-dir", metavar="DIR")

    add("bench", bench, "measure this machine; writes loadtests/bench.json")
    return parser


def _add_order(sub: argparse.ArgumentParser, usual: str) -> None:
    """What is made of a song. usual: the format of the tracks."""
    made = sub.add_mutually_exclusive_group()
    made.add_argument("--output-type", choices=list(OUTPUTS),
                      help="FOUR_STEMS; of a model that is named, all that it makes")
    made.add_argument("--stems", metavar="A,B", help="these, in place of an output type's")
    sub.add_argument("--model", metavar="NAME",
                     help="made by this model or preset, in place of the quality's")
    sub.add_argument("--quality", choices=["FAST", "BALANCED", "BEST"], default="BALANCED")
    sub.add_argument("--format", choices=["WAV", "FLAC", "MP3"], default=usual)


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
    """A time above 0. Raises ValueError, which argparse tells."""
    time = float(text)
    if not 0 < time < math.inf:
        raise ValueError
    return time


def add_actions(parser: argparse.ArgumentParser, actions: Actions) -> None:
    """Sub-commands that work on the data directory."""
    choices = parser.add_subparsers(metavar="ACTION", required=True)
    for name, (command, help, arguments) in actions.items():
        action = choices.add_parser(name, help=help, description=help)
        action.set_defaults(command=command)
        action.add_argument("--data-dir", metavar="DIR")
        action.add_argument("--config", type=Path, metavar="FILE", help="settings (TOML)")
        for flag, options in arguments:
            action.add_argument(flag, **options)


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
