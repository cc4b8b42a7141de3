"""What a 3-minute song costs the CPU beside the model: core-seconds by stage of the pipeline.

The usual way, for comparison, does the same work with the libraries that everyone uses:
librosa for HPSS and pyloudnorm for loudness, on whole arrays.
"""

import tempfile
import time
from pathlib import Path

import librosa
import numpy as np
import pyloudnorm
import soundfile as sf
import torch
from demucs.audio import encode_mp3
from msgspec import structs

import kernels
from loadtests.compare import Row, row
from server.audio.stages import STAGES
from server.sound import SAMPLE_RATE
from server.starter.songs import synthesise
from server.work.messages import Options, Task
from server.work.scratch import FrameWriter
from server.work.steps import finish

SECONDS = 180
STEMS = ("drums", "bass", "other", "vocals")


def run() -> list[Row]:
    """Nine tracks of an MP3, and two stems as MP3, without the model: its stems are given."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        task = prepare(folder)
        kernels.warm_up()
        ours = {stage: _spent(task, stage) for stage in (
            "decode", "harmonic_percussive", "compose", "normalise", "encode_stems")}
        usual = usual_way(folder)
        rows = [_row("song_core_seconds", ours, usual)]
        rows += stems_as_mp3(task, folder, {"decode": ours["decode"]}, {"decode": usual["decode"]})
    picture(rows, Path(__file__).with_name("song_core_seconds.png"))
    return rows


def stems_as_mp3(
    task: Task, folder: Path, ours: dict[str, float], usual: dict[str, float]
) -> list[Row]:
    """What StemSplit jobs add to decoding: MP3s beside demucs's own writer, tempo and key."""
    job = structs.replace(task, options=structs.replace(task.options, format="MP3"),
                          facts=task.facts | {"peak": 1.0})  # fmt: skip
    ours = ours | {stage: _spent(job, stage) for stage in (
        "measure", *(f"encode/{stem}" for stem in STEMS))}  # fmt: skip
    _spent(job, "describe")  # librosa compiles what it needs, once
    described = _spent(job, "describe")
    for stem in STEMS:
        began = time.process_time()
        samples = np.fromfile(folder / f"{stem}.f32", "<f4").reshape(-1, 2)
        encode_mp3(torch.from_numpy(samples.T.copy()), folder / "x.mp3", SAMPLE_RATE, 320)
        usual = usual | {f"encode/{stem}": time.process_time() - began}
    both = ("decode", "measure", "encode/vocals", "encode/drums")  # any two stems
    return [
        _row("both_mp3_core_seconds", *({stage: side[stage] for stage in both if stage in side}
                                        for side in (ours, usual))),
        _row("mp3_core_seconds", *({stage: side[stage] for stage in side if "/" in stage}
                                   for side in (ours, usual)), later={"describe": described}),
    ]  # fmt: skip


def _row(name: str, ours: dict[str, float], usual: dict[str, float], **more: object) -> Row:
    return row(name, sum(ours.values()), sum(usual.values()),
               stages={stage: round(spent, 3) for stage, spent in ours.items()},
               usual={stage: round(spent, 3) for stage, spent in usual.items()}, **more)


def picture(rows: list[Row], path: Path) -> None:
    """Core-seconds by stage, one bar a side."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(rows), figsize=(4 * len(rows), 5))
    for axis, entry in zip(axes, rows, strict=True):
        names = list(dict.fromkeys([*entry["usual"], *entry["stages"]]))
        under = np.zeros(2)
        for name in names:
            spent = np.array([entry["stages"].get(name, 0.0), entry["usual"].get(name, 0.0)])
            axis.bar(["stembox", "the usual way"], spent, bottom=under, label=name)
            under += spent
        axis.set(title=entry["name"].replace("_", " "), ylabel="core-seconds, 3-minute song")
        axis.legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def prepare(folder: Path, seconds: float = SECONDS) -> Task:
    """A job's folder with an MP3 as its input and stems as the model would leave them."""
    folder.mkdir(exist_ok=True)
    stems = synthesise(2_000_002, seconds)
    mix = np.sum(np.stack(list(stems.values())), axis=0)
    sf.write(folder / "input", mix.T, SAMPLE_RATE, format="MP3")
    for stem, samples in stems.items():
        with FrameWriter(folder / f"{stem}.f32") as writer:
            writer.write(samples.T)
    options = Options(file_name="song.mp3", model="", overlap=0.25, wav_format="PCM_16",
                      target_lufs=-14, true_peak_dbtp=-1, max_seconds=3600)
    return Task(id="bench", job="bench", stage="", source=str(folder / "input"),
                scratch=str(folder), outputs=str(folder / "out"), options=options,
                facts={"stems": list(STEMS)})


def usual_way(folder: Path) -> dict[str, float]:
    """Core-seconds of the same work with librosa, pyloudnorm and soundfile."""
    began = time.process_time()
    mix, _ = sf.read(folder / "input", dtype="float32", always_2d=True)
    taken = {"decode": time.process_time() - began}
    began = time.process_time()
    harmonic, percussive = (part.T for part in librosa.effects.hpss(mix.T))
    taken["harmonic_percussive"] = time.process_time() - began
    began = time.process_time()
    meter = pyloudnorm.Meter(SAMPLE_RATE)
    louder = []
    for part in (mix, harmonic, percussive):
        gain = 10 ** ((-14 - meter.integrated_loudness(part)) / 20)
        louder.append(np.clip(part * gain, -1, 1))
    taken["compose"] = time.process_time() - began
    began = time.process_time()
    for index, part in enumerate([*louder, harmonic, percussive, mix, mix, mix, mix]):
        sf.write(folder / f"usual{index}.wav", part, SAMPLE_RATE)
    taken["encode"] = time.process_time() - began
    return taken


def _spent(task: Task, stage: str) -> float:
    began = time.process_time()
    task = structs.replace(task, stage=stage)
    task.facts.update(finish(STAGES[stage.partition("/")[0]](task)).facts)
    return time.process_time() - began
