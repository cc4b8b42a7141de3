"""What the API process and the workers say to each other, as msgpack over the pool's socket.

Messages carry names and numbers, never audio: stages hand over paths of scratch files.
"""

from typing import Any, Literal

from msgspec import Struct, field

from server.presets.inferences import Inference
from server.stems import FOUR

Format = Literal["WAV", "MP3", "FLAC"]


class Options(Struct, frozen=True, kw_only=True):
    """What a job was asked for, decided when it was accepted and kept with it.

    `model`: the name of what makes its stems; `inferences`: the models that this runs, if
    it is a preset, and each one's part of a segment that neighbours share in place of `overlap`.
    """

    file_name: str
    model: str
    overlap: float
    inferences: tuple[Inference, ...] = ()
    format: Format = "WAV"  # of StemSplit tracks; the pipeline's are WAV
    wav_format: str  # samples of WAV and FLAC: one of server.audio.writing.track_writer.SAMPLES
    target_lufs: float
    true_peak_dbtp: float
    max_seconds: float
    stems: tuple[str, ...] = FOUR  # what the separation is to write


class Task(Struct, frozen=True, kw_only=True, tag="task"):
    """One attempt at one stage of one job.

    `due` (seconds, by one clock for each pool) says which of a worker's tasks is the most urgent.
    `source` is the file that came in; `scratch` holds the F32 files; finished tracks go below
    `outputs`, and what their waveforms are drawn from into the folder `peaks`, unless that is
    empty. `facts` is what earlier stages of the job found out (their results, merged).
    """

    id: str
    job: str
    stage: str
    due: float = 0.0
    source: str
    scratch: str
    outputs: str
    peaks: str = ""
    options: Options
    facts: dict[str, Any] = field(default_factory=dict)


class Cancel(Struct, frozen=True, tag="cancel"):
    """API process to worker: give this task up. It ends with `Failed(kind="cancelled")`."""

    id: str


class LoadedModel(Struct, frozen=True):
    """A model in a worker's memory: what its convolutions and linear layers compute in, and how
    many seconds it took to load."""

    name: str
    precision: str
    load_s: float = 0.0


class Hello(Struct, frozen=True, tag="hello"):
    """A worker's first message: who it is and what it serves. Once more, when that has changed."""

    pool: str
    worker: str
    pid: int
    device: str
    slots: int  # tasks it takes at once
    step_s: float = 0.0  # seconds between its signs of life while it works, as far as it knows
    models: tuple[LoadedModel, ...] = ()  # those that are on the device
    in_turns: bool = False  # one task runs, the one that is due first; the others lie still
    confined: tuple[str, ...] = ()  # what was taken from it: server.work.confinement
    not_confined: dict[str, str] = {}  # and why the rest was not


class Started(Struct, frozen=True, tag="started"):
    """The worker has taken the task up."""

    id: str


class Progress(Struct, frozen=True, tag="progress"):
    """A sign of life: the share of the task that is done, 0 to 1."""

    id: str
    done: float


class FinishedTrack(Struct, frozen=True):
    """A track's file: its path below the outputs folder, its bytes, and their CRC-32."""

    path: str
    size: int
    crc: int


class Result(Struct, frozen=True, tag="result"):
    """The task is done. `tracks` maps track names to the files that it has finished."""

    id: str
    facts: dict[str, Any] = field(default_factory=dict)
    tracks: dict[str, FinishedTrack] = field(default_factory=dict)


class Failed(Struct, frozen=True, tag="failed"):
    """The task failed in the worker.

    `kind` says whose fault it is: the file's ("input", "unsupported", "too_long": trying again is
    useless), nobody's ("cancelled"), the disk's ("no_room"), or the server's ("internal").
    """

    id: str
    kind: Literal["input", "unsupported", "too_long", "cancelled", "no_room", "internal"]
    message: str


class Report(Struct, frozen=True, kw_only=True, tag="report"):
    """A worker's figures, now and then: what it did since its last report, and what is left.

    segments, forwards: of the models, together. free, used: bytes of the card's memory, 0 where
    there is no card.
    """

    segments: int = 0
    forwards: int = 0
    free: int = 0
    used: int = 0


ToWorker = Task | Cancel
FromWorker = Hello | Started | Progress | Result | Failed | Report
