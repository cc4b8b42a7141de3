"""Separation without a server: the same stages, one after the other, in this process."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import torch
from msgspec import Struct

from server.audio.stages import STAGES, encode_track
from server.config import Config, Quality
from server.engine import chains
from server.engine.card import prepare_card
from server.engine.chains import Chain
from server.engine.cpu import prepare_cpu
from server.engine.devices import devices
from server.engine.engine import Engine
from server.engine.library import choice
from server.engine.library.catalog import ModelFiles
from server.engine.library.choice import Choice
from server.engine.models import Separator
from server.errors import StageFailed
from server.stems import FOUR, stem_gains
from server.work.messages import FinishedTrack, Format, Task
from server.work.scratch import FrameReader
from server.work.steps import finish

Report = Callable[[str, float], None]  # is told a stage's name and the share of it that is done
MOST_REASON = 300  # characters


class Target(Struct, frozen=True):
    """Where the stems of each file go, and in which format."""

    folder: Path
    format: Format


class Offline:
    """A model, or those of a preset, on one device, which makes `stems` of any number of files.

    found: what was chosen for them, if it is not the tier's.

    Raises ModelError: no model of the tier is on this machine, or it does not make these stems;
    StageFailed: the device has no room for it.

    Attributes:
        name: of the model or the preset.
        device: where it is.
    """

    def __init__(
        self, config: Config, quality: Quality, stems: tuple[str, ...] = FOUR,
        found: Choice | None = None,
    ) -> None:  # fmt: skip
        self._config = config
        device = devices(config.separation.device)[0]
        self.device = torch.device(device)
        if self.device.type == "cpu":
            prepare_cpu(config.separation.cpu_threads)
        if self.device.type == "cuda":
            try:
                prepare_card(self.device)
            except RuntimeError as error:
                said = str(error).strip().partition("\n")[0][:MOST_REASON]
                raise StageFailed(f"{device} cannot be used: {said}") from None
        found = found or choice.serving(quality, config, stems)
        self.name = found.name
        self._options = partial(choice.options, found, stems, quality, config)
        run = {step.model for step in choice.work(found, stems, quality, config).inferences}
        needed = [files for files in found.models if files.name in run or not run]
        self._models = {files.name: self._loaded(files) for files in needed}
        if found.layout is None:
            stem_gains(stems, self.name, self._models[self.name].recipe)
        self._stems = stems
        self._batch = config.separation.batch_on(device)

    def separate(self, source: Path, target: Target, report: Report) -> list[Path]:
        """Separates one file into `<folder>/<folder_name>/<track>.<format>`.

        Raises:
            AudioError: the file cannot be read.
            StageFailed: the model fails, or there is too little memory.
        """
        wanted, samples = self._stems, self._config.stemsplit.samples_of(target.format)
        folder = target.folder / folder_name(source)
        with _kept_if_filled(folder), _scratch(folder) as scratch:
            task = self._task(source, scratch, Target(folder, target.format), samples)
            self._stage("decode", task, report)
            task.facts["peak"] = self._separate(task, report)
            paths = []
            for index, track in enumerate(wanted):
                task = msgspec.structs.replace(task, stage=f"encode/{track}")
                made = finish(encode_track(task)).tracks.values()
                paths += [folder / file.path for file in made]
                report("encode", (index + 1) / len(wanted))
        return paths

    def tracks(self, source: Path, report: Report) -> dict[str, np.ndarray]:
        """The stems of one file as float32 (2, samples), at the level of the mix: all in memory.

        Raises AudioError, StageFailed.
        """
        made = {}
        with tempfile.TemporaryDirectory() as scratch:
            task = self._task(source, scratch, Target(Path(scratch), "WAV"), "FLOAT")
            self._stage("decode", task, report)
            self._separate(task, report)
            for stem in self._stems:
                with FrameReader(Path(scratch) / f"{stem}.f32") as reader:
                    made[stem] = reader.read(0, reader.frames).T
        return made

    def nine_tracks(self, source: Path, folder: Path, report: Report) -> dict[str, Path]:
        """All tracks of the pipeline API from one file, below `folder`. Raises AudioError.

        For FOUR stems only.
        """
        tracks: dict[str, FinishedTrack] = {}
        with _scratch(folder) as scratch:
            samples = self._config.pipeline.wav_format
            task = self._task(source, scratch, Target(folder, "WAV"), samples)
            self._stage("decode", task, report)
            self._separate(task, report)
            task.facts["stems"] = list(self._stems)
            for stage in ("encode_stems", "harmonic_percussive", "compose", "normalise"):
                tracks |= self._stage(stage, task, report)
        return {name: folder / file.path for name, file in tracks.items()}

    def _task(self, source: Path, scratch: str, target: Target, samples: str) -> Task:
        options = self._options(file_name=source.name, form=target.format, samples=samples)
        return Task(id="offline", job="offline", stage="", source=str(source), scratch=scratch,
                    outputs=str(target.folder), options=options)

    def _stage(self, name: str, task: Task, report: Report) -> dict[str, FinishedTrack]:
        result = finish(STAGES[name](task), lambda done: report(name, done))
        task.facts.update(result.facts)
        report(name, 1.0)
        return result.tracks

    def _separate(self, task: Task, report: Report) -> float:
        """Returns the highest sample of all stems."""
        chain = Chain(task)
        with _named(self.name):
            chains.run(chain, Engine(self._batch, self.device), self._models.__getitem__,
                       lambda done: report("separate", done))
        return chain.peak

    def _loaded(self, files: ModelFiles) -> Separator:
        with _named(files.name):
            return Separator(files, self.device, self._config.separation.precision)


@contextmanager
def _named(model: str) -> Iterator[None]:
    """What torch raises is the failure of one song by one model, in a line; the next may fare
    better."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        reason = " ".join(str(error).split())[:MOST_REASON] or "out of memory"
        raise StageFailed(f"model {model} failed: {reason}") from error


def folder_name(source: Path) -> str:
    """What the folder of a file's stems is called: as the file, without its suffix."""
    return source.stem if source.stem.strip(".") else "song"  # never `.` or `..`


def _scratch(folder: Path) -> tempfile.TemporaryDirectory[str]:
    """Beside the stems and not in /tmp: an hour of song needs gigabytes."""
    return tempfile.TemporaryDirectory(prefix=".scratch-", dir=folder)


@contextmanager
def _kept_if_filled(folder: Path) -> Iterator[None]:
    """A folder that is gone again if nothing came into it."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with suppress(OSError):
            folder.rmdir()
