"""What the StemSplit API asks for and is told of: orders, requests, jobs. Data, and no more."""

from typing import Any

import msgspec
from msgspec import Struct

from server.audio.heard import Heard
from server.config import Config, Quality
from server.errors import AudioTooShort, in_seconds
from server.sound import SAMPLE_RATE
from server.stems import OUTPUTS
from store import Job


class Order(Struct, frozen=True, kw_only=True):
    """What an account asks for: exactly one of `upload_key` and `source_url` is given.

    `stems`: what the job is to have in place of what `output_type` says; `model`: what makes them;
    `whole`: the job is to have all that the model makes.
    `base_url`: how the account called this server, and so how it can download. `test`: by a test
    key, so that it costs nothing; `metadata.simulate` says how it is to end.
    """

    account_id: str
    base_url: str
    output_type: str
    quality: Quality
    output_format: str
    upload_key: str | None = None
    source_url: str | None = None
    file_name: str | None = None
    metadata: dict[str, Any] | None = None
    callback_url: str | None = None
    test: bool = False
    stems: tuple[str, ...] | None = None
    model: str | None = None
    whole: bool = False

    @property
    def tracks(self) -> tuple[str, ...]:
        """What the job is to have."""
        return self.stems or OUTPUTS[self.output_type]


class Request(Struct, frozen=True, kw_only=True):
    """What is kept of an order, and known of its source.

    `seconds` of audio, 0: not yet known. `named`: the file has its name by the order. `test`: by a
    test key.
    """

    output_type: str
    quality: str
    output_format: str
    model: str
    file_name: str
    base_url: str = ""
    seconds: float = 0.0
    size_bytes: int = 0
    source_url: str | None = None
    metadata: dict[str, Any] | None = None
    named: bool = False
    test: bool = False
    stems: tuple[str, ...] | None = None

    @property
    def tracks(self) -> tuple[str, ...]:
        """What the job has."""
        return self.stems or OUTPUTS[self.output_type]


class SplitJob(Struct, frozen=True):
    """A job as its API shows it: the stored job, its decoded request, what `describe` found, and
    what was heard of its source.

    `status`: pending, processing, completed, failed or expired; `files`: names of finished files,
    by track.
    """

    job: Job
    request: Request
    status: str
    files: dict[str, str]
    bpm: float | None = None
    key: str | None = None
    heard: Heard | None = None


class Created(Struct, frozen=True):
    """A job that was accepted. Credits in seconds; an estimate of the seconds that it takes."""

    id: str
    created_at: float
    request: Request
    credits: int
    estimate: int


def with_length(request: Request, frames: int, config: Config) -> Request:
    """The request with the length that was really decoded. Raises AudioTooShort."""
    seconds = frames / SAMPLE_RATE
    least = config.limits.min_audio_seconds
    if seconds < least:
        raise AudioTooShort(f"Audio is shorter than {in_seconds(least)}")
    return msgspec.structs.replace(request, seconds=seconds)
