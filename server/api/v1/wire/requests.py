"""What clients send."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType, structs

from server.api.v1.wire.common import EVENTS, Camel, Event, OutputFormat, OutputType, Quality
from server.stems import DEFAULT_OUTPUT, MOST_STEMS

StemName = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9_-]{0,63}$")]
ModelName = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$")]
Text = Annotated[str, Meta(min_length=1, max_length=2048)]
FileName = Annotated[str, Meta(min_length=1, max_length=1024)]
SourceUrl = Annotated[str, Meta(min_length=1, max_length=8192)]
Url = Annotated[str, Meta(min_length=8, max_length=8192, pattern="^[hH][tT][tT][pP][sS]?://")]
# RFC 9110, 8.3.1: type, subtype and parameters. Browsers know none for many files: ''.
ContentType = Annotated[str, Meta(max_length=255, pattern=(
    r"^(|[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+"
    r'( *; *[A-Za-z0-9_.+-]+=([A-Za-z0-9_.+-]+|"[A-Za-z0-9_.+, /-]*"))*)$'
))]  # fmt: skip


class CreateJobRequest(Camel, frozen=True):
    """`POST /jobs`. Exactly one of `uploadKey` and `sourceUrl`. A long `fileName` is shortened.
    `stems`: what the job is to have in place of what `outputType` says, by the names that
    `GET /models` lists; `model`: which of these models and presets makes it. With a `model`, and
    neither `stems` nor `outputType`, the job has all that it makes; elsewhere that is BOTH."""

    upload_key: Text | None = None
    source_url: SourceUrl | None = None
    file_name: FileName | None = None
    output_type: OutputType | UnsetType = UNSET
    quality: Quality = "BEST"
    output_format: OutputFormat = "MP3"
    metadata: dict[str, Any] | None = None
    callback_url: Url | None = None
    stems: Annotated[list[StemName], Meta(min_length=1, max_length=MOST_STEMS)] | None = None
    model: ModelName | None = None

    def asked(self) -> dict[str, Any]:
        """The fields of an order, with what it means where no `outputType` was sent."""
        if self.output_type is not UNSET:
            return structs.asdict(self)
        whole = self.model is not None and self.stems is None
        return structs.asdict(self) | {"output_type": DEFAULT_OUTPUT, "whole": whole}


class UploadRequest(Camel, frozen=True):
    """`POST /upload`. A long `filename` is shortened. No `contentType`: the bytes decide alone."""

    filename: FileName
    content_type: ContentType | None = None


class CreateWebhookRequest(Camel, frozen=True):
    """`POST /webhooks`."""

    url: Url
    events: Annotated[list[Event], Meta(min_length=1, max_length=8)] = msgspec.field(
        default_factory=lambda: list(EVENTS)
    )
