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
