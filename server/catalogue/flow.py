"""Which song goes to which station next, and what becomes of those that a death took. Pure: no Ray.

A station is one model with its helpers. When one dies, the songs under way there begin again
wherever there is room. Songs that were there at two deaths are suspects: they go at the end, each
alone on a station, so that one who kills stands alone and the others are made. A song that was not
found at one station is looked for at another: a machine may lack a mount.
"""

from collections import defaultdict, deque
from collections.abc import Iterable
from typing import Final

from msgspec import Struct, field

from server.catalogue.listing import Entry

SHARED_DEATHS: Final = 2  # of a station, among others; then a song goes alone
LONE_DEATHS: Final = 2  # of a station, alone; then the song is given up
TRIES: Final = 3  # of a song whose stage fails without a death


class Song(Struct, eq=False):
    """A song of this run that is not finished.

    followers: songs of the same content, which get what becomes of it.
    """

    entry: Entry
    number: int
    shared_deaths: int = 0
    lone_deaths: int = 0
    failures: int = 0
    missed: bool = False  # at one station
    key: str = ""
    version: str = ""
    station: int | None = None
    followers: "list[Song]" = field(default_factory=list)


class Flow:
    """All songs of a run. `depth`: how many are under way at one station."""

    def __init__(self, entries: Iterable[Entry], depth: int) -> None:
        self._depth = depth
        self._waiting = deque(Song(entry, number) for number, entry in enumerate(entries))
        self._missed: defaultdict[int, deque[Song]] = defaultdict(deque)  # by where they were
        self._suspects: deque[Song] = deque()
        self._stations: dict[int, set[Song]] = {}  # that are up
        self._closed: set[int] = set()
        self._makers: dict[str, Song] = {}  # by key
        self.left = len(self._waiting)

    def open(self, station: int) -> None:
        """A station is up."""
        self._stations[station] = set()

    def close(self, station: int) -> None:
        """A station takes no more songs; those there go on."""
        self._closed.add(station)

    def take(self, station: int) -> Song | None:
        """The next song for a station, None while there is none, or no room."""
        if station in self._closed:
            return None
        here, queue = self._stations[station], self._queue(station)
        if queue and len(here) < self._depth and not any(map(_suspect, here)):
            song = queue.popleft()
        elif self._suspects and not here and not queue:
            song = self._suspects.popleft()
        else:
            return None
        song.station = station
        here.add(song)
        return song

    def claim(self, song: Song, key: str) -> bool:
        """Whether this song's result is to be made for it. False: another one's of the same
        content is under way, and this one gets what becomes of that."""
        maker = self._makers.setdefault(key, song)
        song.key = key
        if maker is song:
            return True
        self._leave(song)
        maker.followers.append(song)
        return False

    def end(self, song: Song) -> list[Song]:
        """A song is finished, made or not: itself, and those that it is finished for."""
        self._leave(song)
        self._release(song)
        ended = [song, *song.followers]
        self.left -= len(ended)
        return ended

    def fail(self, song: Song) -> bool:
        """A song's stage has failed, and may not the next time. True: it is not tried again."""
        song.failures += 1
        if song.failures >= TRIES:
            return True
        self.put_back(song)
        return False

    def miss(self, song: Song) -> bool:
        """A song's file is not there. True: nor was it at another station, or there is none."""
        here = song.station
        if song.missed or here is None or not self._elsewhere(here):
            return True
        song.missed = True
        self._again(song, self._suspects if _suspect(song) else self._missed[here])
        return False

    def put_back(self, song: Song) -> None:
        """A song begins again, and nothing is held against it."""
        self._again(song, self._suspects if _suspect(song) else self._waiting)

    def lose(self, station: int) -> list[Song]:
        """A station has died. The songs there begin again, but for those that it returns: they
        were alone with it too often."""
        lost = sorted(self._stations.pop(station, ()), key=lambda song: song.number)
        given_up = []
        for song in lost:
            if len(lost) == 1:
                song.lone_deaths += 1
            else:
                song.shared_deaths += 1
            if song.lone_deaths >= LONE_DEATHS:
                given_up.append(song)
            else:
                self.put_back(song)
        return given_up

    def _queue(self, station: int) -> deque[Song]:
        """Where a station's next song waits: first those that another one did not find."""
        for place, queue in self._missed.items():
            if queue and (place != station or not self._elsewhere(station)):
                return queue
        return self._waiting

    def _elsewhere(self, station: int) -> bool:
        """Whether another station is up and takes songs."""
        return bool(self._stations.keys() - self._closed - {station})

    def _again(self, song: Song, queue: deque[Song]) -> None:
        self._leave(song)
        self._release(song)
        for follower in song.followers:  # its content may have changed meanwhile
            self._waiting.appendleft(follower)
        song.followers, song.key = [], ""
        queue.append(song)

    def _leave(self, song: Song) -> None:
        if song.station is not None:
            self._stations.get(song.station, set()).discard(song)
        song.station = None

    def _release(self, song: Song) -> None:
        if self._makers.get(song.key) is song:
            del self._makers[song.key]


def _suspect(song: Song) -> bool:
    return song.shared_deaths >= SHARED_DEATHS or song.lone_deaths > 0
