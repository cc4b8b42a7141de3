"""The audio pool's stages: what each reads and writes in a job's folders, as one table.

A stage's name may end in a slash and a track: `encode/vocals` is `encode` for that track.

A stage may be killed anywhere and run again: it reads only what earlier stages left, and every
file of its own appears complete, under the same name, with the same bytes.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from msgspec import structs

from kernels import HPSSStream, LoudnessMeter, normalisation_gain
from server.audio import decode as decoding
from server.audio import describe as describing
from server.audio.looking import measure, probe
from server.audio.stage_worker import Stage
from server.audio.stereo import interleaved, planar
from server.audio.writing.checksum import Contents
from server.audio.writing.encode import encode, joint_gain
from server.audio.writing.wav import WavWriter
from server.sound import CHANNELS, SAMPLE_RATE
from server.tracks import MIX, track_file, track_path
from server.work.messages import FinishedTrack, Result, Task
from server.work.scratch import FrameReader, FrameWriter
from server.work.steps import Steps, share

BLOCK = 1 << 16  # frames
HPSS_TRACKS = ("harmonic", "percussive")
COMPOSITES = {"main": "mix", "main_harmonic": "harmonic", "main_percussive": "percussive"}


def decode(task: Task) -> Steps[Result]:
    """The input to `mix.f32`, and its peaks; facts `frames`, and `input`: the fields of `Heard`."""
    options = task.options
    mix = yield from decoding.decode(
        Path(task.source), _f32(task, MIX), options.max_seconds, options.file_name,
        _peaks(task, MIX),
    )  # fmt: skip
    return Result(task.id, facts={"frames": mix.frames, "input": structs.asdict(mix.heard)})


def harmonic_percussive(task: Task) -> Steps[Result]:
    """`mix.f32` to scratch files and WAVs of both parts, in one pass. Not normalised."""
    stream = HPSSStream(CHANNELS)
    with ExitStack() as stack:
        mix = stack.enter_context(FrameReader(_f32(task, "mix")))
        parts = [stack.enter_context(FrameWriter(_f32(task, name))) for name in HPSS_TRACKS]
        wavs = [
            stack.enter_context(WavWriter(
                _wav(task, name), mix.frames, task.options.wav_format, peaks=_peaks(task, name)
            ))
            for name in HPSS_TRACKS
        ]
        for pair, done in _separated(stream, mix):
            for part, wav, block in zip(parts, wavs, pair, strict=True):
                frames = interleaved(*block)
                part.write(frames)
                wav.write(frames)
            yield done
    return _tracks(task, {name: wav.contents for name, wav in zip(HPSS_TRACKS, wavs, strict=True)})


def compose(task: Task) -> Steps[Result]:
    """Measures what the composite tracks are made of; fact `gains`, linear, by track."""
    options, gains = task.options, {}
    for index, (track, name) in enumerate(COMPOSITES.items()):
        meter = yield from share(index, len(COMPOSITES), _measured(_f32(task, name)))
        gains[track] = normalisation_gain(
            meter.integrated(), meter.true_peak(), options.target_lufs, options.true_peak_dbtp
        )
    return Result(task.id, facts={"gains": gains})


def normalise(task: Task) -> Steps[Result]:
    """Writes the composite tracks, each with its gain of the fact `gains`."""
    gains, written = task.facts["gains"], {}
    for index, (track, name) in enumerate(COMPOSITES.items()):
        encoding = _encode(task, name, track, gains[track])
        written[track] = yield from share(index, len(COMPOSITES), encoding)
    return _tracks(task, written)


def encode_stems(task: Task) -> Steps[Result]:
    """Writes the model's stems, named by the fact `stems`, at the level of the mix."""
    stems, written = task.facts["stems"], {}
    for index, stem in enumerate(stems):
        written[stem] = yield from share(index, len(stems), _encode(task, stem, stem))
    return _tracks(task, written)


def encode_track(task: Task) -> Steps[Result]:
    """Writes the stem that the stage's name tells, `encode/<stem>`, in the job's format.

    The fact `peak` is the highest sample of all stems of the job, which share one gain: fact
    `gain`.
    """
    track, options = task.stage.partition("/")[2], task.options
    path = track_file(task.stage, track, options.format)
    gain = joint_gain(task.facts["peak"], options.format)
    target = Path(task.outputs) / path
    contents = yield from encode(
        _f32(task, track), target, options.wav_format, gain, options.format, _peaks(task, track)
    )
    return Result(task.id, {"gain": gain}, {track: FinishedTrack(path, *contents)})


def describe(task: Task) -> Steps[Result]:
    """Facts `bpm` and `key` of the mix, None where they cannot be told."""
    bpm, key = yield from describing.describe(_f32(task, "mix"))
    return Result(task.id, facts={"bpm": bpm, "key": key})


STAGES: dict[str, Stage] = {
    "probe": probe,
    "measure": measure,
    "decode": decode,
    "harmonic_percussive": harmonic_percussive,
    "compose": compose,
    "normalise": normalise,
    "encode_stems": encode_stems,
    "encode": encode_track,
    "describe": describe,
}


def _separated(
    stream: HPSSStream, mix: FrameReader
) -> Iterator[tuple[tuple[np.ndarray, np.ndarray], float]]:
    """The harmonic and the percussive part of the mix, in blocks of shape (2, samples), and the
    share of the mix that has gone in."""
    done = 0
    for block in mix.blocks(BLOCK):
        done += len(block)
        yield stream.feed(planar(block)), done / mix.frames
    yield stream.finish(), 1.0


def _measured(path: Path) -> Steps[LoudnessMeter]:
    """A meter that has heard the whole scratch file."""
    meter, done = LoudnessMeter(SAMPLE_RATE, CHANNELS), 0
    with FrameReader(path) as reader:
        for block in reader.blocks(BLOCK):
            meter.feed(planar(block))
            done += len(block)
            yield done / reader.frames
    return meter


def _encode(task: Task, name: str, track: str, gain: float = 1.0) -> Steps[Contents]:
    return encode(_f32(task, name), _wav(task, track), task.options.wav_format, gain,
                  peaks=_peaks(task, track))


def _tracks(task: Task, written: Mapping[str, Contents]) -> Result:
    return Result(task.id, tracks={
        name: FinishedTrack(track_path(name), *contents) for name, contents in written.items()
    })  # fmt: skip


def _f32(task: Task, name: str) -> Path:
    return Path(task.scratch) / f"{name}.f32"


def _wav(task: Task, track: str) -> Path:
    return Path(task.outputs) / track_path(track)


def _peaks(task: Task, track: str) -> Path | None:
    return Path(task.peaks) / track if task.peaks else None
