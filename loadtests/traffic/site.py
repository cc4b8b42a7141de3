"""What the users of one load machine share: songs, a key, the receiver, and what they have seen."""

import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

from gevent.event import Event

from loadtests.traffic import songs
from loadtests.traffic.profile import Profile
from loadtests.traffic.receiver import Receiver
from loadtests.traffic.songs import Song
from loadtests.traffic.timeline import Journal, Queue, Timeline


class Site:
    """One load machine's part of a run.

    key: of the StemSplit API. receiver: None where webhooks cannot reach this machine.
    """

    def __init__(self, profile: Profile, key: str, seed: int = 1) -> None:
        self.profile, self.key = profile, key
        self.receiver: Receiver | None = None
        self.hooks: Counter[str] = Counter()  # of a receiver that has been closed
        self.chance = random.Random(seed)
        self.songs: list[Song] = []
        self.ready = Event()
        self.timeline, self.journal = Timeline(), Journal()
        self.errors: Counter[str] = Counter()
        self.failed_at: list[float] = []  # seconds of the run
        self.kinds: Counter[str] = Counter()  # bad clients, by what they did
        self.webhooks_missing = 0
        self.queues: list[tuple[float, Queue]] = []
        self.began = time.monotonic()

    def now(self) -> float:
        """Seconds of the run."""
        return time.monotonic() - self.began

    def prepare(self, folder: Path) -> None:
        """Makes the songs, which takes seconds the first time; a master may call meanwhile."""
        self.songs = songs.make(folder, self.profile.songs.lengths)
        self.ready.set()

    def song(self) -> Song:
        """What is sent next."""
        return songs.pick(self.songs, self.profile.songs.weights, self.chance)

    def report(self) -> dict[str, Any]:
        """What a load machine tells its master, from the start on."""
        hooks = self.hooks if self.receiver is None else self.receiver.counts
        return self.journal.report() | {
            "webhooks": dict(hooks) | {"missing": self.webhooks_missing},
            "bad_clients": dict(self.kinds), "errors": dict(self.errors),
            "queue": self.journal.queue(self.now()),
        }  # fmt: skip
