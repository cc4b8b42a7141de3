"""The last net under log lines: keys, secrets, signatures and the data directory do not pass.

Nobody logs these on purpose. But an exception's text, or a path that a client made up, may hold
one, and logs are sent to places that must not know them.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from server.credentials import LIVE_KEY, SHOWN, TEST_KEY, WEBHOOK_SECRET

REDACTED: Final = re.compile(
    rf"(?P<key>(?:{LIVE_KEY}|{TEST_KEY})[\w-]{{{SHOWN - len(LIVE_KEY)}}})[\w-]+"  # as lists show it
    rf"|(?P<secret>{WEBHOOK_SECRET})[\w+/=-]+"
    r"|(?P<signature>signature(?:=|%3D|%253D))[\w-]+"
    r"|(?P<bearer>bearer\s+)(?!sk_)[^\s\"'\\,)\]}]+"
    # Of a stranger's URL its host alone: user names, paths and queries of URLs are passwords. An
    # apostrophe may be a part of one, or the quote behind it.
    r"""|(?P<scheme>[a-z][a-z0-9+.-]{0,20}://)(?:[^\s"\\/?#<>@]*@)?(?P<host>[^\s"'\\/?#<>@]*)[/?#](?:[^\s"'\\<>]|'(?=[^\s"\\<>,;:)\]}]))*""",
    re.IGNORECASE,
)
SIGNS: Final = ("sk_", WEBHOOK_SECRET, "://", "ignature", "earer")  # most lines hold none of them


class Redaction:
    """What becomes of a line. `folders`: their paths are told as `<data>`."""

    def __init__(self, folders: Iterable[Path] = ()) -> None:
        paths = {str(form) for folder in folders for form in (folder, folder.resolve())}
        self._folders = sorted(paths - {"/"}, key=len, reverse=True)

    def __call__(self, line: str) -> str:
        """The line without what nobody may read. JSON stays JSON: no quote or escape is cut."""
        for folder in self._folders:
            if folder in line:
                line = line.replace(folder, "<data>")
        lower = line.lower()
        if any(sign in lower for sign in SIGNS):
            line = REDACTED.sub(_instead, line)
        return line


def _instead(match: re.Match[str]) -> str:
    found = match.groupdict()
    if found["scheme"] is not None:
        return f"{found['scheme']}{found['host']}/…"
    return f"{match[match.lastgroup or 0]}…"
