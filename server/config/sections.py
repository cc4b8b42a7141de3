"""The settings by section, as frozen Structs. Bounds of single values; reads nothing."""

import os
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from server.config.machine import cores
from server.presets import Preset

SPIN_COUNT = "2000"  # GOMP_SPINCOUNT: how often torch's idle threads look before they sleep
CPU_BATCH = 1  # on a CPU a larger batch is slower per segment, not faster
GPU_BATCH = 16
LITSERVE_HOSTS = Literal["127.0.0.1", "0.0.0.0", "::"]  # the only ones that it binds
# Bounds are generous, but nothing is endless: a time that no clock can show, or a number that no
# system call takes, is an error later.
MOST_SECONDS = 1e9
MOST = 1_000_000_000
MOST_DAYS = 36_500  # a hundred years
Origin = Annotated[str, Meta(
    pattern=r"^(\*|null|[a-z][a-z0-9+.-]*://[^\s/?#]+)$",
    description="*, null, or an origin such as https://app.example.org",
)]  # fmt: skip
Named = Annotated[str, Meta(min_length=1)]  # as a path "" is wherever the server was started
Tier = Annotated[list[Named], Meta(min_length=1, description="the name of one model at least")]
Seconds = Annotated[float, Meta(gt=0, le=MOST_SECONDS)]
Count = Annotated[int, Meta(ge=1, le=MOST)]
CountOrAuto = Annotated[int, Meta(ge=1, le=1024)] | Literal["auto"]
Overlap = Annotated[float, Meta(ge=0, le=0.99)]  # beyond, segments hardly move on
Quality = Literal["FAST", "BALANCED", "BEST"]
PrecisionSetting = Literal["auto", "float32"]


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every section of the settings."""


class Server(Section, frozen=True):
    host: LITSERVE_HOSTS
    port: Annotated[int, Meta(ge=1024, le=65535)]
    data_dir: Named
    scratch_dir: str
    box: Annotated[str, Meta(
        pattern=r"^([0-9a-f]{2})?$", description="nothing, or two of 0-9a-f"
    )]  # fmt: skip
    public_url: Annotated[str, Meta(
        pattern=r"^(https?://[^\s?#/]+(/[^\s?#]*)?)?$",
        description="nothing, or an address such as https://stems.example.org",
    )]  # fmt: skip
    trusted_proxies: list[str]
    cors_origins: list[Origin]
    grace_seconds: Annotated[int, Meta(ge=0, le=MOST)]
    start_seconds: Annotated[float, Meta(ge=10, le=MOST_SECONDS)]
    stall_seconds: Annotated[float, Meta(ge=3, le=MOST_SECONDS)]
    min_free_percent: Annotated[float, Meta(ge=0, lt=100)]


class Limits(Section, frozen=True):
    max_file_size_mb: Count
    max_upload_mb: Count
    min_audio_seconds: Annotated[float, Meta(ge=0, le=86400)]
    max_audio_seconds: Annotated[float, Meta(gt=0, le=86400)]
    requests_per_minute: Count
    max_queued_jobs: Count
    max_uploads: Annotated[int, Meta(ge=2, le=MOST)]
    max_connections: Annotated[int, Meta(ge=2, le=MOST)]
    max_account_tickets: Count
    max_account_upload_mb: Count


class Pipeline(Section, frozen=True):
    auth: Literal["none", "api_key"]
    allow_anonymous: bool
    requests_per_minute: Annotated[int, Meta(ge=0, le=MOST)]
    quality: Quality
    wav_format: Literal["PCM_16", "PCM_16_DITHERED", "PCM_24", "FLOAT"]
    target_lufs: Annotated[float, Meta(ge=-70, le=0)]
    true_peak_dbtp: Annotated[float, Meta(ge=-60, le=0)]


class StemSplit(Section, frozen=True):
    wav_format: Literal["PCM_16", "PCM_16_DITHERED", "PCM_24", "FLOAT"]
    flac_format: Literal["PCM_16", "PCM_16_DITHERED", "PCM_24"]
    purchase_url: Annotated[str, Meta(
        pattern=r"^(https?://[^\s?#/]\S*)?$",
        description="nothing, or an address such as https://example.org/credits",
    )]  # fmt: skip

    def samples_of(self, form: str) -> str:
        """What tracks of a format consist of; MP3 is made of 16 bits."""
        return {"WAV": self.wav_format, "FLAC": self.flac_format}.get(form, "PCM_16")


class Separation(Section, frozen=True):
    device: Annotated[str, Meta(
        pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda, or a card as cuda:1"
    )]  # fmt: skip
    max_batch: CountOrAuto
    max_jobs: Annotated[int, Meta(ge=1, le=4096)]  # a worker with more slots is not believed
    threads: CountOrAuto
    precision: PrecisionSetting
    max_models: Count
    model_idle_seconds: Annotated[float, Meta(ge=0, le=MOST_SECONDS)]

    @property
    def cpu_threads(self) -> int:
        """CPU threads of the separation worker."""
        return cores() if self.threads == "auto" else self.threads

    def batch_on(self, device: str) -> int:
        """Segments in one forward on a device such as "cpu" or "cuda:0"."""
        if self.max_batch != "auto":
            return self.max_batch
        return CPU_BATCH if device == "cpu" else GPU_BATCH


class Models(Section, frozen=True):
    fast: Tier
    balanced: Tier
    best: Tier
    six_stems: Tier
    overlap_fast: Overlap
    overlap_balanced: Overlap
    overlap_best: Overlap
    folders: list[Named]
    allow_pickle: bool

    def tier(self, quality: Quality) -> tuple[list[str], float]:
        """The names to look for, best first, and the overlap of the segments, for one quality."""
        name = quality.lower()
        return getattr(self, name), getattr(self, f"overlap_{name}")


class Audio(Section, frozen=True):
    workers: CountOrAuto
    memory_mb: Annotated[int, Meta(ge=256, le=1 << 24)]
    confine: Literal["auto", "must", "off"]


class Jobs(Section, frozen=True):
    retention_hours: Annotated[float, Meta(gt=0, le=24 * MOST_DAYS)]
    history_days: Annotated[float, Meta(ge=1, le=MOST_DAYS)]  # an Idempotency-Key's time
    deliveries_days: Annotated[float, Meta(ge=1, le=MOST_DAYS)]  # longer than the schedule of one
    max_attempts: Count
    stall_seconds: Annotated[float, Meta(ge=1, le=MOST_SECONDS)]


class Fetch(Section, frozen=True):
    allow_networks: list[str]
    deny_networks: list[str]
    timeout_s: Seconds
    total_timeout_s: Seconds


class Studio(Section, frozen=True):
    enabled: bool


class Metrics(Section, frozen=True):
    enabled: bool
    token: Annotated[str, Meta(
        pattern=r"^$|^[!-~]{16,}$",
        description="nothing, or 16 characters or more: ASCII without blanks",
    )]  # fmt: skip
    allow_networks: list[str]


class Log(Section, frozen=True):
    level: Literal["debug", "info", "warning", "error"]
    format: Literal["auto", "console", "json"]


class Config(Section, frozen=True):
    """Every setting. Sections and keys are those of `config.toml`, where each has its comment."""

    server: Server
    limits: Limits
    pipeline: Pipeline
    stemsplit: StemSplit
    separation: Separation
    models: Models
    presets: dict[str, Preset]
    audio: Audio
    jobs: Jobs
    fetch: Fetch
    studio: Studio
    metrics: Metrics
    log: Log

    @property
    def data_dir(self) -> Path:
        """Absolute path of the data directory."""
        return path_of(self.server.data_dir)

    @property
    def private_folders(self) -> tuple[Path, ...]:
        """Where what is nobody's business lies: nobody is told these paths."""
        return (self.data_dir,) if self.scratch_dir is None else (self.data_dir, self.scratch_dir)

    @property
    def scratch_dir(self) -> Path | None:
        """Absolute path of the faster place for scratch files, None for none."""
        wanted = self.server.scratch_dir
        return path_of(wanted) if wanted else None

    @property
    def audio_workers(self) -> int:
        """Number of audio worker processes."""
        return cores() if self.audio.workers == "auto" else self.audio.workers


def path_of(setting: str) -> Path:
    """The absolute path that a setting names, where `~` is what it is in a shell: a `~` of nobody's
    is a part of a name, where Path.expanduser raises."""
    return Path(os.path.expanduser(setting)).absolute()
