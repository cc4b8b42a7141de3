"""The engine: takes segments from all its songs, runs the model once, hands the results out.

One step is pick, read, run, add up; on a card the results of one step are written while the
next one runs. Nothing here knows of sockets or jobs.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import NamedTuple

import structlog
import torch

from server.engine.batching import pick
from server.engine.card import check_device
from server.engine.models import Separator
from server.engine.songs.separation import Piece
from server.engine.songs.song import Song
from server.engine.transfers import Arrival, Transfers
from server.errors import NotFinite

log = structlog.get_logger()


class Flight(NamedTuple):
    """One batch under way: whose segments it holds, and what becomes of them."""

    songs: list[Song]  # of each segment that came back, in the order of `arrival`
    arrival: Arrival  # frames and peak of each
    touched: list[Song]  # every song that moved on, or failed


Loading = Callable[[Song], AbstractContextManager[None]]


class Engine:
    """All songs of one device's worker.

    Attributes:
        max_batch: bounds the segments of one forward.
        bounds: by model (`Separator.key`), what one bounds them to that the card has too little
            memory for.
        make_room: frees memory of the device beside a model; whether there was any to free.
        loading: what holds while a song waits for its model to be loaded once more.
        warm: makes such a model ready, so that its first batch is no slower than the others.
        segments, forwards: how much has gone through the models so far.
    """

    def __init__(self, max_batch: int, device: torch.device | str = "cpu") -> None:
        self.max_batch = max_batch
        self.bounds: dict[str, int] = {}
        self.make_room: Callable[[str], bool] = lambda model: False
        self.loading: Loading = lambda song: nullcontext()
        self.warm: Callable[[Separator], None] = lambda model: None
        self.segments = 0
        self.forwards = 0
        self._transfers = Transfers(torch.device(device))
        self._songs: list[Song] = []
        self._flights: deque[Flight] = deque()
        self._steps = 0

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._songs

    @property
    def models(self) -> set[str]:
        """Names of the models that songs are going through."""
        return {song.model.name for song in self._songs}

    def most(self, model: str) -> int:
        """How many segments of a model go into one forward."""
        return min(self.max_batch, self.bounds.get(model, self.max_batch))

    def add(self, song: Song) -> None:
        """Takes a song in."""
        self._songs.append(song)

    def remove(self, name: str, error: BaseException) -> bool:
        """Throws a song out and removes what was written of it. False: it is not here."""
        for song in self._songs:
            if song.name == name:
                self._leave(song)
                with suppress(OSError):
                    song.close(error)
                return True
        return False

    def close(self, error: BaseException) -> None:
        """Throws every song out."""
        for song in list(self._songs):
            self.remove(song.name, error)

    def step(self) -> Iterator[tuple[Song, Exception | None]]:
        """One batch goes out, and the one that is due comes back. Yields each song that moved
        on, with its error if it failed; on a card that is the step after the forward.

        Raises RuntimeError only when the device itself is out of order.
        Songs that are finished or failed are no longer in the engine when they are yielded.
        """
        for song in [song for song in self._songs if not song.separation.cuts.count]:
            yield song, self._settle(song)  # a song of no samples has nothing to wait for
        if flight := self._send():
            self._flights.append(flight)
        if self._flights and (len(self._flights) >= self._transfers.depth or not flight):
            yield from self._land(self._flights.popleft())

    def _send(self) -> Flight | None:
        picked = self._pick()
        if not picked:
            return None
        self._steps += 1
        for song in self._songs:
            song.waited += 1
        for song, _ in picked:
            song.waited = 0
        songs, batch = self._read(picked)
        pieces = self._run(songs, batch) if songs else []
        arrived = [(song, piece) for song, piece in zip(songs, pieces, strict=True) if piece]
        results = [tensor for _, piece in arrived for tensor in piece]
        arrival = self._transfers.to_host(results)
        return Flight([song for song, _ in arrived], arrival, [song for song, _ in picked])

    def _pick(self) -> list[tuple[Song, int]]:
        picked = pick(self._songs, self.max_batch, self._steps)
        most = self.most(picked[0][0].model.key) if picked else 0
        if sum(count for _, count in picked) <= most:
            return picked
        return pick(self._songs, most, self._steps)  # of the same kind: size decides no first place

    def _read(self, picked: list[tuple[Song, int]]) -> tuple[list[Song], torch.Tensor]:
        """The next segments of these songs, and of each segment whose it is."""
        size = sum(count for _, count in picked)
        batch = self._transfers.host(size, picked[0][0].padded, 2)
        rows = batch.numpy()
        songs: list[Song] = []
        for song, count in picked:
            try:
                for _ in range(count):
                    song.separation.read(rows[len(songs)])
                    songs.append(song)
            except Exception as problem:
                song.failed = problem
        return songs, batch[: len(songs)]

    def _run(self, songs: list[Song], batch: torch.Tensor) -> list[Piece | None]:
        """The pieces that a batch makes final; none where a song has failed."""
        problem: Exception
        name, key = songs[0].model.name, songs[0].model.key
        try:
            answer, mix, sound = self._forward(songs[0], batch)
        except Exception as error:
            problem = error.with_traceback(None)  # which would hold on to the card's memory
        else:
            well = [song for song in songs if song.failed is None]
            pieces = [_add(song, *part) for song, *part in zip(songs, answer, mix, sound,
                                                               strict=True)]
            short = any(isinstance(song.failed, torch.OutOfMemoryError) for song in well)
            if short and not self.make_room(name):  # for the next attempts
                self._narrow(key, len(songs))
            return pieces
        memory = isinstance(problem, torch.OutOfMemoryError)
        if memory and self.make_room(name):
            return self._run(songs, batch)
        if len(songs) == 1:
            check_device(songs[0].model.device)  # a card that is out of order is no song's fault
            songs[0].failed = songs[0].failed or problem
            return [None]
        if memory:
            self._narrow(key, len(songs))
        else:
            log.error("batch failed: trying its segments one by one", segments=len(songs),
                      exc_info=problem)
        pieces = []
        while len(pieces) < len(songs):
            part = slice(len(pieces), len(pieces) + (self.most(key) if memory else 1))
            pieces += self._run(songs[part], batch[part])
        return pieces

    def _narrow(self, key: str, segments: int) -> None:
        """Where so many segments were too much for a card, batches are smaller from now on."""
        most = self.bounds[key] = max(1, min(self.most(key), segments // 2))
        log.warning("out of memory: smaller batches from now on", model=key, max_batch=most)
        torch.cuda.empty_cache()

    @torch.inference_mode()
    def _forward(
        self, first: Song, batch: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The model's answer to (segments, samples, 2); the segments, and whether each is sound.

        Silence keeps the place of a segment that is not finite, so that its mates get the very
        same batch.
        """
        mix = self._transfers.to_device(batch).transpose(1, 2).contiguous()
        sound = torch.isfinite(mix).all(2).all(1)
        mix = torch.where(sound[:, None, None], mix, 0)
        answer = first.model(mix, first.members)
        self.segments += len(batch)
        self.forwards += 1
        return answer, mix, sound

    def _land(self, flight: Flight) -> Iterator[tuple[Song, Exception | None]]:
        arrived = flight.arrival.wait()
        for song, frames, peak in zip(flight.songs, arrived[::2], arrived[1::2], strict=True):
            if song.failed is None and song in self._songs:
                try:
                    song.separation.write(frames, float(peak))
                except Exception as problem:
                    song.failed = problem
        for song in flight.touched:
            if song in self._songs:
                yield song, self._settle(song)

    def _settle(self, song: Song) -> Exception | None:
        if song.failed is None and not song.separation.done:
            return None
        self._leave(song)
        try:
            song.close(song.failed)
            if isinstance(song.failed, NotFinite) and song.again is not None:
                log.warning("reduced precision overflowed: song begins again in float32",
                            task=song.name)
                self.add(self._begun_again(song, song.again))
                return None
        except Exception as problem:
            if song.failed is not None:
                log.error("nor can the song be ended, or begun again", task=song.name,
                          exc_info=problem)
            return song.failed or problem
        return song.failed

    def _begun_again(self, song: Song, begin: Callable[[], Song]) -> Song:
        with self.loading(song):
            again = self._begun(song, begin)
            try:
                self.warm(again.model)
            except Exception as error:
                again.close(error)
                raise
            return again

    def _begun(self, song: Song, begin: Callable[[], Song]) -> Song:
        with suppress(torch.OutOfMemoryError):
            return begin()
        self.make_room(song.model.name)  # only here is nothing of it on the card any more
        return begin()

    def _leave(self, song: Song) -> None:
        self._songs.remove(song)
        if not self._songs:  # a batch under way is nobody's, and would hold its model
            self._flights.clear()


@torch.inference_mode()
def _add(song: Song, answer: torch.Tensor, mix: torch.Tensor, sound: torch.Tensor) -> Piece | None:
    if song.failed is None:
        try:
            return song.separation.add(answer, mix, sound)
        except Exception as problem:
            song.failed = problem
    return None
