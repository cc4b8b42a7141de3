"""What the headers of a signed PUT must say. The bytes are looked at elsewhere."""

import re
from typing import Final

from starlette.datastructures import Headers

from server.api.files import media_types
from server.api.files.uploads import length_of
from server.api.signing import BadSignature, UploadGrant
from server.errors import FileTooLarge, InvalidRequest

WHOLE: Final = re.compile(r"bytes 0-(\d{1,18})/(\d{1,18})", re.ASCII).fullmatch


def check(headers: Headers, grant: UploadGrant) -> None:
    """Lets the body of a PUT come in.

    Raises:
        BadSignature: the type is none that the URL was made for.
        InvalidRequest: it is a part of a file (RFC 9110, 14.5), or its type too long.
        FileTooLarge: by its own word.
    """
    _check_type(media_types.said_by(headers), grant.content_type)
    part = headers.get("content-range")
    if part is not None and not _is_whole(part):
        raise InvalidRequest("Send the whole file: its parts (Content-Range) are not put together")
    if (length_of(headers) or 0) > grant.max_bytes:
        raise FileTooLarge(f"The file is larger than {grant.max_bytes} bytes")


def _check_type(sent: str, chosen: str | None) -> None:
    if chosen is not None and not media_types.is_same(sent, chosen):
        raise BadSignature(f"Send the header Content-Type: {chosen}, as this URL was asked for")
    if chosen is None and not media_types.may_be_sound(sent):
        raise BadSignature("Send a Content-Type of audio, application/octet-stream, or none")


def _is_whole(content_range: str) -> bool:
    match = WHOLE(content_range.strip())
    return match is not None and int(match[1]) + 1 == int(match[2])
