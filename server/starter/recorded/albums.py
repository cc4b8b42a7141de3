"""Owns which produced music there is: albums of Debian packages without singing, by name.

Knows which albums are for training and which are kept for measuring; not how clips are cut.
"""

from __future__ import annotations

from fnmatch import fnmatch
from typing import NamedTuple

from server.starter.recorded import places
from server.starter.recorded.sound import Recording, listing


class Album(NamedTuple):
    """Tracks of a package: those below `place`, a folder or a ZIP archive, that fit `pattern`.

    without: patterns of names that are left out, for voices in them, or since they are no music
    or are another version of a track at hand.
    """

    name: str
    package: str
    place: str
    pattern: str
    without: str = ""
    heard: bool = True  # False: kept from training, to measure on music never heard


GAMES = "usr/share/games"
ALBUMS = (
    Album("wesnoth", "wesnoth-1.16-music", f"{GAMES}/wesnoth/1.16/data/core/music", "*.ogg",
          "nunc_dimittis"),  # a choir
    Album("nexuiz", "nexuiz-music", f"{GAMES}/nexuiz/data/music.pk3", "*.ogg", "thunder"),
    Album("aftermath", "warzone2100-music", f"{GAMES}/warzone2100/music/albums",
          "aftermath_soundtrack/*.opus", "track3_*"),  # the original's third, anew
    Album("legacy", "warzone2100-music", f"{GAMES}/warzone2100/music/albums",
          "legacy_soundtrack/*.opus"),
    Album("widelands", "widelands-data", f"{GAMES}/widelands/data/music", "*.ogg"),
    Album("supertuxkart", "supertuxkart-data", f"{GAMES}/supertuxkart/data/music", "*.ogg",
          "*_fast farm_f"),
    Album("supertux", "supertux-data", f"{GAMES}/supertux2/music", "*/*.ogg"),
    Album("ufoai", "ufoai-music", f"{GAMES}/ufoai/base/0music.pk3", "*.ogg", "dynamictest-*"),
    Album("hyperrogue", "hyperrogue-music", "usr/share/hyperrogue/music", "*.ogg"),
    Album("colobot", "colobot-common-sounds", f"{GAMES}/colobot/music", "*.ogg"),
    Album("freedroid", "freedroidrpg-data", "usr/share/freedroidrpg/data/sound/music", "*.ogg"),
    Album("lincity", "lincity-ng-data", f"{GAMES}/lincity-ng/music/default", "*.ogg"),
    Album("asc", "asc-music", f"{GAMES}/asc/music", "*.mp3"),
    Album("original", "warzone2100-music", f"{GAMES}/warzone2100/music/albums",
          "original_soundtrack/*.opus", heard=False),
    Album("singularity", "singularity-music", f"{GAMES}/singularity/music", "**/*.ogg",
          heard=False),
    Album("hedgewars", "hedgewars-data", f"{GAMES}/hedgewars/Data/Music", "*.ogg", heard=False),
)  # fmt: skip


def tracks(heard: bool) -> list[Recording]:
    """Every track at hand, for training or kept from it.

    Raises FileNotFoundError naming the packages if there are none, or, of those kept, if any is
    missing: figures are to be compared.
    """
    wanted = [album for album in ALBUMS if album.heard == heard]
    missing = [album.package for album in wanted if not album_tracks(album)]
    if len(missing) == len(wanted) or (missing and not heard):
        raise FileNotFoundError(places.advice(missing))
    return [track for album in wanted for track in album_tracks(album)]


def album_tracks(album: Album) -> list[Recording]:
    """An album's tracks; none where its package is missing."""
    place = places.find(album.package, album.place)
    if place is None:
        return []
    without = album.without.split()
    return [track for track in listing(place, album.pattern)
            if not any(fnmatch(track.name, pattern) for pattern in without)]  # fmt: skip
