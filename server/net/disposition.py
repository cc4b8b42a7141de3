"""The file name in a Content-Disposition header (RFC 6266), as servers really write it. Pure."""

import re
from typing import Final
from urllib.parse import unquote

from server.names import clean_name

# A parameter's name, and its value: quoted, or all up to the next semicolon.
PARAMETER: Final = re.compile(
    r"""(?:^|;)\s*+([!#$%&'*+.^_`|~\w-]++)\s*+=\s*+(?:"((?:[^"\\]|\\.)*+)"|([^;]*+))""",
    re.ASCII | re.DOTALL,
)
ESCAPED: Final = re.compile(r'\\(["\\])')  # others are the backslashes of a path on Windows
EXTENDED: Final = re.compile(r"(utf-8|iso-8859-1)'[^']*'(.+)", re.IGNORECASE)  # RFC 8187


def file_name(header: str) -> str | None:
    """The clean name that the header gives, that of `filename*` before that of `filename`."""
    given: dict[str, str] = {}
    for match in PARAMETER.finditer(header):
        name, quoted, plain = match.groups()
        value = plain.strip(' "') if quoted is None else ESCAPED.sub(r"\1", quoted)
        given.setdefault(name.lower(), value)
    extended = EXTENDED.fullmatch(given.get("filename*", ""))
    if extended is not None:
        try:
            if name := clean_name(unquote(extended[2], extended[1], errors="strict")):
                return name
        except UnicodeDecodeError:
            pass  # as if it were not there: RFC 6266, 4.3
    return clean_name(given.get("filename", "")) or None
