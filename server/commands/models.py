"""`stembox models`: what is on this machine, what could be, and how it gets here."""

import argparse
from pathlib import Path

from server.config import Config


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
    from server.engine.library import choice
    from server.offline import Offline
    from server.starter.measuring.own_songs import measure_songs, wanted_of
    from server.starter.measuring.report import Report, markdown
    from server.starter.measuring.song_folders import check_songs, find_songs
    from server.starter.quality import digest, write

    songs, tier = find_songs(arguments.folder)[: arguments.songs], arguments.quality
    name = arguments.model
    choice.check(config)
    found = choice.serving(tier, config) if name is None else choice.resolve(name, config)
    wanted = wanted_of(songs, found)
    check_songs(songs)
    arguments.out.mkdir(parents=True, exist_ok=True)  # it must not fail at the end of hours
    with Bar(found.name) as bar:
        result = measure_songs(songs, Offline(config, tier, wanted, found), arguments.seconds, bar)
    report = Report(found.name, digest(*found.models), list(wanted), None, [result])
    print(markdown(report))
    write(report, arguments.out)
    return 0 if len(result.songs) == len(songs) else 1
