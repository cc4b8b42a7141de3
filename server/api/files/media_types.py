"""What a client says of a file by `Content-Type`, and how much of that is one and the same. Pure.

It never decides what a file is: the bytes do.
"""

import re
from mimetypes import guess_type
from types import MappingProxyType
from typing import Final

from starlette.datastructures import Headers

from server.errors import InvalidRequest

# Names of one type, without the `x-` that many of them have as well. The picture's name of a
# container is among them: browsers and tables of suffixes give it to files that are sound alone.
ALIASES: Final = (
    ("audio/wav", "audio/wave", "audio/vnd.wave", "audio/pn-wav"),
    ("audio/mpeg", "audio/mp3", "audio/mpeg3", "audio/mpeg-3", "audio/mpg", "audio/mpegaudio"),
    ("audio/mp4", "audio/m4a", "audio/m4b", "audio/m4p", "audio/mp4a-latm", "video/mp4",
     "video/m4v", "application/mp4"),
    ("audio/aac", "audio/aacp", "audio/hx-aac-adts", "audio/vnd.dlna.adts"),
    ("audio/flac", "application/flac"),
    ("audio/ogg", "audio/oga", "audio/vorbis", "audio/vorbis+ogg", "audio/opus", "audio/speex",
     "video/ogg", "application/ogg"),
    ("audio/aiff", "audio/aif", "audio/aifc"),
    ("audio/webm", "video/webm"),
    ("audio/matroska", "video/matroska", "application/matroska"),
    ("audio/3gpp", "video/3gpp"),
    ("audio/3gpp2", "video/3gpp2"),
    ("audio/quicktime", "video/quicktime"),
    ("audio/ms-wma", "audio/wma", "video/ms-asf", "application/vnd.ms-asf"),
    ("audio/basic", "audio/au", "audio/snd"),
    ("audio/ape", "audio/monkeys-audio"),
    ("audio/dts", "audio/vnd.dts"),
    ("application/octet-stream", "binary/octet-stream", "application/binary"),
)  # fmt: skip
FIRST_NAME: Final = MappingProxyType({name: group[0] for group in ALIASES for name in group})
ANY_BYTES: Final = "application/octet-stream"
UNINFORMATIVE: Final = frozenset(("", ANY_BYTES, "application/x-www-form-urlencoded"))
"""Content types that say nothing about a body. curl sends the last one by default."""

MOST_CHARACTERS: Final = 1024  # of a header's value: reading parameters may take their square


def said_by(headers: Headers) -> str:
    """What a request says of its body, or ''. Raises InvalidRequest: that is too long."""
    said = headers.get("content-type", "")
    if len(said) > MOST_CHARACTERS:
        raise InvalidRequest(f"A Content-Type may have {MOST_CHARACTERS} characters at the most")
    return said


def essence(content_type: str) -> str:
    """Type and subtype of a header's value, in lower case, without parameters (RFC 9110, 8.3.1).

    Of a header that came twice, and was joined on its way, the first.
    """
    return re.split("[;,]", content_type, maxsplit=1)[0].strip().lower()


def is_same(content_type: str, other: str) -> bool:
    """Whether two header values name one type, perhaps by different names."""
    return _first_name(essence(content_type)) == _first_name(essence(other))


def may_be_sound(content_type: str) -> bool:
    """Whether a header's value may stand for a file that holds sound: it names none that cannot."""
    named = essence(content_type)
    first_name = _first_name(named)
    uninformative = bool({named, first_name} & UNINFORMATIVE)
    return uninformative or first_name.startswith(("audio/", "video/"))


def likely(file_name: str) -> str:
    """The type that a file of this name has as a rule, where that is one of sound."""
    guessed = guess_type(file_name)[0] or ANY_BYTES
    return guessed if may_be_sound(guessed) else ANY_BYTES


def _first_name(named: str) -> str:
    kind, _, subtype = named.partition("/")
    plain = f"{kind}/{subtype.removeprefix('x-')}"
    return FIRST_NAME.get(plain, plain)
