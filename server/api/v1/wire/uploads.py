"""Signed uploads: where to PUT a file, and that it has come."""

from server.api.v1.wire.common import Camel, Time


class Instructions(Camel, frozen=True):
    """What to do with an upload URL, for people."""

    step1: str
    step2: str
    note: str


class UploadResponse(Camel, frozen=True):
    """`POST /upload`."""

    upload_url: str
    upload_key: str
    expires_at: Time
    max_file_size_bytes: int
    max_file_size_mb: int
    content_type: str
    instructions: Instructions


class UploadedResponse(Camel, frozen=True):
    """The answer to the signed PUT."""

    upload_key: str
    file_size_bytes: int


def instructions(chosen: str) -> Instructions:
    """What to do with an upload URL. `chosen`: the content type that was asked for, or ''."""
    header = f"the header Content-Type: {chosen}" if chosen else "any audio Content-Type, or none"
    return Instructions(
        step1=f"PUT your file to uploadUrl with {header}",
        step2="POST /api/v1/jobs with the uploadKey",
        note="The URL is valid for 15 minutes and for one file, which may be sent again",
    )
