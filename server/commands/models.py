"""`stembox models`: what is on this machine, what could be, and how it gets here."""

import argparse
from pathlib import Path

from server.commands.arguments import Commands, add_common, count, seconds
from server.config import Config


def declare(commands: Commands) -> None:
    """Adds the commands of this module."""
    sub = commands.add("models", list_models, "list models, or pull one")
    sub.set_defaults(names=[])
    actions = sub.add_subparsers(metavar="ACTION")
    lister = actions.add_parser("list", help="models on this machine, and which tier each serves")
    lister.add_argument("--known", action="store_true", help="and those that pull knows by name")
    puller = actions.add_parser("pull", help="fetch models by name, from a URL or a folder")
    puller.add_argument("names", nargs="+", metavar="NAME[@REVISION]|URL|FOLDER")
    puller.add_argument("--any-licence", action="store_true",
                        help="also where nobody here knows the licence")
    puller.set_defaults(command=pull_models)
    for action in (lister, puller):
        add_common(action, default=argparse.SUPPRESS)  # what stands before the action holds, too

    sub = commands.add("quality", quality, "measure a model on songs with known stems")
    sub.add_argument("folder", type=Path, metavar="FOLDER",
                     help="a folder a song, with a file a stem (MUSDB18-HQ's layout)")
    sub.add_argument("--model", metavar="NAME", help="in place of the quality's")
    sub.add_argument("--quality", choices=["FAST", "BALANCED", "BEST"], default="BEST")
    sub.add_argument("--songs", type=count, metavar="N", help="the first of them alone")
    sub.add_argument("--seconds", type=seconds, metavar="S", help="of each song, from its start")
    sub.add_argument("--out", type=Path, default=Path("quality"), metavar="DIR",
                     help="where quality.json, .md and .png are written")


def list_models(arguments: argparse.Namespace, config: Config) -> int:
    """`stembox models list`."""
    from server.engine.library import choice
    from server.engine.pulling import registry

    for found in choice.installed(config):
        made = ", ".join(found.stems or ("not known until it is loaded",))
        where = found.models[0].folder if found.layout is None else \
            f"of {', '.join(model.name for model in found.models)}"
        print(f"{found.name:<16} {found.family or '?':<18} {found.size / 1e6:7.1f} MB  "
              f"licence {found.licence or 'not known'}  {made}  {where}")
    for tier, row in choice.tiers(config).items():
        print(f"{tier:<16} served by {row['serving'] or 'nothing'} (wanted: {row['wanted']})")
    for name, reason, folder in choice.refused(config):
        print(f"{name:<16} not used: {reason}  {folder or ''}".rstrip())
    if getattr(arguments, "known", False):
        from server.engine.pulling.adopting import describe

        print(*(describe(name, entry) for name, entry in registry.read().items()), sep="\n")
    return 0


def pull_models(arguments: argparse.Namespace, config: Config) -> int:
    """`stembox models pull`: by name, from an address, or from a folder."""
    from server.engine.library import catalog, configuration
    from server.engine.pulling import adopting, hub, registry

    known, models = registry.read(), config.data_dir / "models"
    for wanted in arguments.names:
        if wanted.startswith(("http://", "https://")):
            print(adopting.pull_address(wanted, models, arguments.any_licence))
        elif "/" in wanted:
            print(adopting.pull_folder(Path(wanted), models, arguments.any_licence))
        elif (entry := known.get(wanted)) is not None:
            print(adopting.describe(wanted, entry), flush=True)
            print(adopting.pull_entry(wanted, entry, models, arguments.any_licence))
        elif (Path(wanted) / configuration.NAME).is_file():
            print(adopting.pull_folder(Path(wanted), models, arguments.any_licence))
        elif catalog.whole(wanted, catalog.STARTER) is not None:
            print(f"{wanted} ships with stembox: there is nothing to pull")
        else:
            print(hub.pull(wanted, models))
    return 0


def quality(arguments: argparse.Namespace, config: Config) -> int:
    """`stembox quality`: a model on songs of one's own. Goes on after a song that cannot be
    measured, and then exits with 1."""
    from server.commands.bar import Bar
    from server.commands.ending import at_signals
    from server.engine.library import choice
    from server.offline import Offline
    from server.starter.measuring.own_songs import measure_songs, told_apart, wanted_of
    from server.starter.measuring.report import Report, markdown
    from server.starter.measuring.song_folders import check_songs, find_songs
    from server.starter.quality import digest, write

    songs, tier = find_songs(arguments.folder)[: arguments.songs], arguments.quality
    name = arguments.model
    choice.check(config)
    found = choice.serving(tier, config) if name is None else choice.resolve(name, config)
    wanted = wanted_of(songs, found)
    check_songs(songs)
    at_signals()
    arguments.out.mkdir(parents=True, exist_ok=True)  # it must not fail at the end of hours
    with Bar(found.name) as bar:
        offline = Offline(config, tier, wanted, found)
        result = measure_songs(songs, offline, told_apart(found), arguments.seconds, bar)
    report = Report(found.name, digest(*found.models), list(wanted), None, [result])
    print(markdown(report))
    write(report, arguments.out)
    return 0 if len(result.songs) == len(songs) else 1
