"""Separation without a server: the same stages, one after the other, in this process."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile as sf
import torch
from msgspec import Struct

from server.audio.stages import STAGES
from server.config import Config, Quality
from server.engine import catalog
from server.engine.cpu import prepare_cpu
from server.engine.devices import devices
from server.engine.engine import Engine, Song
from server.engine.models import Separator
from server.engine.separation import Separation
from server.errors import ModelError
from server.messages import Options, Task
from server.scratch import SAMPLE_RATE, FrameReader

Report = Callable[[str, float], None]  # is told a stage's name and the share of it that is done
BLOCK = 1 << 16  # frames
OUTPUTS: dict[str, tuple[str, ...]] = {
    "VOCALS": ("vocals",),
    "INSTRUMENTAL": ("instrumental",),
    "BOTH": ("vocals", "instrumental"),
    "FOUR_STEMS": ("vocals", "drums", "bass", "other"),
    "SIX_STEMS": ("vocals", "drums", "bass", "other", "guitar", "piano"),
}
FORMATS = {"WAV": "PCM_16", "FLAC": "PCM_16", "MP3": "MPEG_LAYER_III"}


class Target(Struct, frozen=True):
    """What to make of each file: tracks of an output type, in one format, in one folder."""

    folder: Path
    output_type: str
    format: str


class Offline:
    """One model on one device, for any number of files.

    Raises:
        ModelError: no model of the tier is on this machine.
    """

    def __init__(self, config: Config, quality: Quality) -> None:
        self._config = config
        self._quality: Quality = quality
        device = devices(config.separation.device)[0]
        if device == "cpu":
            prepare_cpu(config.separation.cpu_threads)
        self.model = Separator(catalog.serving(quality, config), torch.device(device))
        self._batch = config.separation.batch_on(device)

    def separate(self, source: Path, target: Target, report: Report) -> list[Path]:
        """Separates one file into `<folder>/<file's name>/<track>.<format>`.

        Raises:
            AudioError: the file cannot be read.
            ModelError: the model does not make the stems that are asked for.
        """
        wanted = OUTPUTS[target.output_type]
        needed = {"vocals"} if "instrumental" in wanted else set(wanted)
        if missing := sorted(needed - set(self.model.stems)):
            raise ModelError(f"model {self.model.name} makes no {', '.join(missing)}")
        folder = target.folder / source.stem
        folder.mkdir(parents=True, exist_ok=True)
        # Beside the stems and not in /tmp: an hour of song needs gigabytes.
        with tempfile.TemporaryDirectory(prefix=".scratch-", dir=folder) as scratch:
            task = self._task(source, Path(scratch), folder)
            self._stage("decode", task, report)
            self._separate(task, report)
            paths = [folder / f"{track}.{target.format.lower()}" for track in wanted]
            for index, (track, path) in enumerate(zip(wanted, paths, strict=True)):
                _write(Path(scratch), track, path, FORMATS[target.format])
                report("encode", (index + 1) / len(wanted))
        return paths

    def nine_tracks(self, source: Path, folder: Path, report: Report) -> dict[str, Path]:
        """All tracks of the pipeline API from one file, below `folder`. Raises AudioError."""
        tracks: dict[str, str] = {}
        with tempfile.TemporaryDirectory(prefix=".scratch-", dir=folder) as scratch:
            task = self._task(source, Path(scratch), folder)
            self._stage("decode", task, report)
            self._separate(task, report)
            task.facts["stems"] = list(self.model.stems)
            for stage in ("encode_stems", "harmonic_percussive", "compose", "normalise"):
                tracks |= self._stage(stage, task, report)
        return {name: folder / path for name, path in tracks.items()}

    def _task(self, source: Path, scratch: Path, outputs: Path) -> Task:
        (scratch / "input").symlink_to(source.absolute())
        pipeline = self._config.pipeline
        options = Options(
            file_name=source.name, model=self.model.name,
            overlap=self._config.models.tier(self._quality)[1], wav_format=pipeline.wav_format,
            target_lufs=pipeline.target_lufs, true_peak_dbtp=pipeline.true_peak_dbtp,
            max_seconds=self._config.limits.max_audio_seconds,
        )
        return Task(id="offline", job="offline", stage="", scratch=str(scratch),
                    outputs=str(outputs), options=options)

    def _stage(self, name: str, task: Task, report: Report) -> dict[str, str]:
        result = STAGES[name](task, lambda done: report(name, done))
        task.facts.update(result.facts)
        report(name, 1.0)
        return result.tracks

    def _separate(self, task: Task, report: Report) -> None:
        scratch = Path(task.scratch)
        separation = Separation(
            scratch / "mix.f32", scratch, self.model.stems, self.model.segment,
            task.options.overlap,
        )
        engine = Engine(self._batch)
        engine.add(Song("offline", self.model, separation))
        while not engine.idle:
            for _, error in engine.step():
                if error is not None:
                    raise error
                report("separate", separation.progress)


def _write(scratch: Path, track: str, path: Path, subtype: str) -> None:
    """One track from its scratch file; `instrumental` is the mix minus the vocals."""
    instrumental = track == "instrumental"
    part = Path(scratch) / f"encoded{path.suffix}"
    with (
        FrameReader(scratch / "mix.f32") as mix,
        FrameReader(scratch / f"{'vocals' if instrumental else track}.f32") as stem,
        sf.SoundFile(part, "w", SAMPLE_RATE, 2, subtype, format=path.suffix[1:].upper()) as file,
    ):
        for block, of_mix in zip(stem.blocks(BLOCK), mix.blocks(BLOCK), strict=True):
            file.write(np.clip(of_mix - block if instrumental else block, -1.0, 1.0))
    part.replace(path)
