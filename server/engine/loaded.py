"""The models on one device: loaded when a song wants one, let go when nobody does any more, or when
there is no room for another."""

import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import structlog
import torch

from server.config import Config
from server.engine.engine import Engine
from server.engine.library import pins
from server.engine.library.catalog import ModelFiles, find
from server.engine.models import Separator, usable_members
from server.engine.residents import Residents
from server.errors import ModelError
from server.sound import SAMPLE_RATE
from server.work.messages import LoadedModel

log = structlog.get_logger()
Marks = tuple[tuple[Path, int, int], ...]  # of files: when each was changed, and its bytes


class LoadedModels:
    """Models of one device, by name. What goes through the engine's songs does not leave.

    stay: the models that are there from the start, warm, and stay. fixed: those that go on as they
    were loaded, whatever takes their names.

    Attributes:
        step_s: seconds of the longest forward so far.
    """

    def __init__(
        self, config: Config, device: torch.device, engine: Engine, stay: Sequence[str],
        fixed: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self._config = config
        self._device = device
        self._engine = engine
        self._fixed = frozenset(fixed)
        self._models: dict[str, Separator] = {}
        self._load_s: dict[str, float] = {}
        self._marks: dict[str, Marks] = {}  # of their files, as they were loaded
        self._unfit: dict[str, Marks] = {}  # of files that were to follow, and cannot be loaded
        self._costs: dict[str, float] = {}
        settings = config.separation
        self._residents = Residents(settings.max_models, settings.model_idle_seconds, stay)
        engine.make_room, engine.warm = self.make_room, self._warm_anew
        # The first job must not pay for the first forward, nor be killed for it.
        engine.max_batch, self.step_s = self._warm_up(self._loaded(stay[0]))
        for name in stay[1:]:
            self.prepare(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def __contains__(self, name: str) -> bool:
        return name in self._models

    def __getitem__(self, name: str) -> Separator:
        return self._models[name]

    def describe(self) -> tuple[LoadedModel, ...]:
        """Them all, for whoever watches."""
        return tuple(LoadedModel(name, model.precision, self._load_s[name])
                     for name, model in self._models.items())

    def cost(self, name: str) -> float | None:
        """Seconds that a model takes for a second of segments, None as long as it was never here.
        """
        return self._costs.get(name)

    def is_current(self, name: str) -> bool:
        """Whether a model is here, and no other has taken its name meanwhile. One whose files are
        gone, or are others now that cannot be loaded, goes on."""
        if name not in self._models or name in self._fixed:
            return name in self._models
        files = find(name, self._config)
        return files is None or _marks(files) in (self._marks[name], self._unfit.get(name))

    def check(self, names: Sequence[str]) -> None:
        """Raises ModelError: one of them is neither here nor on this machine."""
        for name in names:
            if name not in self._models:
                self._files(name)

    def use(self, name: str) -> Separator:
        """A model that is here, for a song that begins."""
        self._residents.use([name], time.monotonic())
        return self._models[name]

    def prepare(self, name: str) -> None:
        """Loads a model and warms it up. One that fails is forgotten, so that whoever asks next
        does not get it cold. One that had its name goes, as soon as the files of the next are
        known to be whole: somebody may be copying them.

        Raises:
            ModelError: it is not here, or cannot be loaded.
            torch.OutOfMemoryError: it has no room, although all idle ones have left.
        """
        if name in self._models:
            if not self._can_follow(name):
                return
            self.forget([name])  # songs that go through that one keep it
        model = self._loaded(name)
        try:
            self._warm_anew(model)
        except Exception:
            self.forget([name])
            raise

    def next_idle(self) -> float | None:
        """Seconds until the next one's time is over; None where none's ever is."""
        return self._residents.next_idle(time.monotonic())

    def let_go(self) -> None:
        """Forgets the models whose time is over."""
        idle = self._residents.idle(self._engine.models, time.monotonic())
        if idle:
            self.forget(idle)

    def make_room(self, name: str) -> bool:
        """Forgets the idle models beside this one; whether there were any."""
        idle = self._idle_beside(name)
        if idle:
            log.warning("out of memory: forgetting models", models=idle)
            self.forget(idle)
        return bool(idle)

    def forget(self, names: Sequence[str]) -> None:
        """Frees what models hold."""
        before = self._allocated()
        for name in names:
            del self._models[name], self._load_s[name], self._marks[name]
            self._unfit.pop(name, None)
            self._engine.bounds.pop(name, None)
            self._residents.leave(name)
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        log.info("models left", models=names, device=str(self._device),
                 freed_mb=(before - self._allocated()) >> 20)

    def _warm_anew(self, model: Separator) -> None:
        """Raises torch.OutOfMemoryError if there is no room for one segment."""
        if model.warm:
            return
        batch, seconds = self._warm_up(model)
        if batch < self._engine.max_batch:
            self._engine.bounds[model.key] = batch
        self.step_s = max(self.step_s, seconds)

    def _warm_up(self, model: Separator) -> tuple[int, float]:
        """The largest batch that a model has room for, once idle ones have made some, and seconds
        of a forward of it.

        Raises torch.OutOfMemoryError if there is no room for one segment.
        """
        batch = self._engine.max_batch
        while True:
            try:
                seconds = model.warm_up(batch)
                if model.key == model.name:  # and is not the one in float32
                    self._costs[model.name] = seconds * SAMPLE_RATE / (batch * model.segment)
                return batch, seconds
            except torch.OutOfMemoryError:
                if batch == 1 and not self._idle_beside(model.name):
                    raise
            # Only here is nothing of the failed forward on the card any more.
            if not self.make_room(model.name):
                batch //= 2
                log.warning("out of memory: smaller batches", model=model.name, max_batch=batch)
            if self._device.type == "cuda":
                torch.cuda.empty_cache()

    def _loaded(self, name: str) -> Separator:
        if name not in self._models:
            files = self._files(name)
            began, marks = time.monotonic(), _marks(files)
            if surplus := self._residents.surplus(self._engine.models):
                self.forget(surplus)
            self._models[name], self._marks[name] = self._load(files), marks
            self._load_s[name] = round(time.monotonic() - began, 2)
            self._residents.use([name], time.monotonic())
            log.info("model loaded", model=name, device=str(self._device),
                     reduced_precision=self._models[name].reduced, load_s=self._load_s[name],
                     allocated_mb=self._allocated() >> 20)
        return self._models[name]

    def _can_follow(self, name: str) -> bool:
        """Whether the files that have a model's name now can be loaded; tried on the CPU."""
        try:
            files = self._files(name)
            marks = _marks(files)
        except ModelError:  # they are gone again
            return False
        try:
            usable_members(files)
        except ModelError as error:
            self._unfit[name] = marks  # until they change
            log.warning("new files of a model cannot be loaded: the one that is here goes on",
                        model=name, error=error.message)  # fmt: skip
            return False
        return True

    def _files(self, name: str) -> ModelFiles:
        files = find(name, self._config)
        if files is None:
            raise ModelError(f"model {name} is not on this machine")
        return files

    def _load(self, files: ModelFiles) -> Separator:
        precision = self._config.separation.precision
        with suppress(torch.OutOfMemoryError):
            return Separator(files, self._device, precision)
        self.make_room(files.name)
        return Separator(files, self._device, precision)

    def _idle_beside(self, name: str) -> list[str]:
        """The models but this one that no song is going through."""
        busy = {*self._engine.models, name}
        return [other for other in self._models if other not in busy]

    def _allocated(self) -> int:
        """Bytes on the card, 0 on a CPU."""
        cuda = self._device.type == "cuda"
        return torch.cuda.memory_allocated(self._device) if cuda else 0


def _marks(files: ModelFiles) -> Marks:
    """What tells a model's files from others of their names, and what they are to be by the pins,
    which come last. Raises ModelError: they are gone."""
    pinned = pins.path_of(files.folder, files.name)
    try:
        own = (files.listing, *files.files, *([pinned] if pinned.exists() else ()))
        told = [(path, path.stat()) for path in own]
    except OSError as error:
        raise ModelError(f"model {files.name} cannot be read: {error.strerror}") from None
    return tuple((path, stat.st_mtime_ns, stat.st_size) for path, stat in told)
