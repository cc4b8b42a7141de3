"""`stembox separate`, `catalogue` and `demo`: stems without a server."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from server.commands.arguments import Commands, count, seconds
from server.commands.bar import Bar
from server.commands.ending import at_signals
from server.config import Config
from server.errors import FULL_FOR_ALL, AudioTooLong, StemboxError
from server.stems import FOUR, OUTPUTS, checked_stems

if TYPE_CHECKING:
    from server.engine.library.choice import Choice
    from server.offline import Target


def declare(commands: Commands) -> None:
    """Adds the commands of this module."""
    sub = commands.add("separate", separate, "separate files, without a server")
    sub.add_argument("files", nargs="+", type=Path, metavar="FILE")
    sub.add_argument("--out", type=Path, required=True, metavar="DIR")
    _add_order(sub, "WAV")

    sub = commands.add("catalogue", catalogue, "separate a catalogue of songs on Ray")
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

    sub = commands.add("demo", demo, "separate a song that stembox makes itself")
    sub.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR")
    sub.add_argument("--seconds", type=seconds, default=30.0, metavar="S")


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


def separate(arguments: argparse.Namespace, config: Config) -> int:
    """`stembox separate`: goes on after a file that fails, and then exits with 1."""
    from server.offline import Offline, Target

    _refuse_one_folder_for_two(arguments.files)
    target = Target(arguments.out, arguments.format)
    stems, choice = _wanted(arguments, config)
    _refuse_to_overwrite(arguments.files, target, stems)
    offline = Offline(config, arguments.quality, stems, choice)
    print(f"model {offline.name} on {offline.device}", file=sys.stderr)
    failed = 0
    at_signals()
    for file in arguments.files:
        try:
            if not file.is_file():
                raise StemboxError("this is a folder" if file.is_dir() else "no such file")
            with Bar(file.name) as bar:
                paths = offline.separate(file, target, bar)
        except (StemboxError, OSError) as error:
            if isinstance(error, OSError) and error.errno in FULL_FOR_ALL:
                error.filename = error.filename or str(arguments.out)  # writes do not say where
                raise
            print(f"stembox: {file}: {_reason(error, file)}", file=sys.stderr)
            failed += 1
        else:
            print(*paths, sep="\n", flush=True)  # whoever reads them begins with the first file
    return 1 if failed else 0


def _reason(error: StemboxError | OSError, file: Path) -> str:
    """Why a file could not be separated, without its name."""
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename not in (None, str(file)) else ""
        return f"{place}{error.strerror or error}"
    if isinstance(error, AudioTooLong):
        return f"{error.message}; limits.max_audio_seconds allows more"
    return error.message


def _refuse_one_folder_for_two(files: Sequence[Path]) -> None:
    from server.offline import folder_name

    named: dict[str, Path] = {}
    for file in files:
        if (other := named.setdefault(folder_name(file), file)) is not file:
            raise StemboxError(f"{other} and {file} would overwrite each other's stems: "
                               "separate them into folders of their own")


def _refuse_to_overwrite(files: Sequence[Path], target: "Target", stems: Sequence[str]) -> None:
    """A stem that is separated again may lie where its own stems would."""
    from server.offline import folder_name

    suffix = target.format.lower()
    made = {
        (target.folder / folder_name(file) / f"{stem}.{suffix}").resolve(): file
        for file in files for stem in stems
    }  # fmt: skip
    for file in files:
        if (other := made.get(file.resolve())) is not None:
            raise StemboxError(f"{file} would be overwritten by a stem of {other}: "
                               "separate it into another folder")


def _wanted(
    arguments: argparse.Namespace, config: Config
) -> tuple[tuple[str, ...], "Choice | None"]:
    """Which stems, and the model if it is not the quality's."""
    from server.engine.library import choice

    choice.check(config)
    name, quality = arguments.model, arguments.quality
    if name is not None:
        choice.resolve(name, config)  # or says why it cannot be used
    if arguments.stems is not None:
        stems = checked_stems([stem.strip() for stem in arguments.stems.split(",")])
        return stems, choice.making(stems, quality, config, name)
    if name is None:
        return OUTPUTS[arguments.output_type or "FOUR_STEMS"], None
    if arguments.output_type is not None:
        stems = OUTPUTS[arguments.output_type]
    else:
        stems = checked_stems(choice.making((), quality, config, name).stems or FOUR)
    return stems, choice.making(stems, quality, config, name)


def catalogue(arguments: argparse.Namespace, config: Config) -> int:
    """`stembox catalogue`."""
    try:
        from server.catalogue.command import run
    except ModuleNotFoundError as error:
        raise StemboxError(f"{error.name} is missing: pip install 'stembox[catalogue]'") from None
    return run(arguments, config, *_wanted(arguments, config))


def demo(arguments: argparse.Namespace, config: Config) -> int:
    """`stembox demo`."""
    from server.commands.demo import run
    from server.offline import Offline

    offline = Offline(config, config.pipeline.quality)
    at_signals()
    began = time.monotonic()
    with Bar("demo") as bar:
        table = run(offline, arguments.out, arguments.seconds, bar)
    print(table)
    print(
        f"{arguments.seconds:g} s of song in {time.monotonic() - began:.1f} s, "
        f"model {offline.name} on {offline.device}"
    )
    return 0
