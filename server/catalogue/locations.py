"""How files are named in a catalogue: absolute paths of this machine, and URLs of stores. Pure.

A URL's key is taken as it stands (`s3://bucket/a%20b` is the object `a%20b`), as the stores' own
tools do it; of `file://`, `https://` and `http://` URLs alone the percent signs are escapes. The
last two may have a query, which is part of the address and not of the name.
"""

import os
import re
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from server.errors import StemboxError

WEB = ("https", "http")
SCHEMES = ("s3", "gs", "az", "abfss", *WEB)  # beside file
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_DOUBLED = re.compile(r"^([a-z]\w*://[^/]*)//+")  # of a bucket, whose keys have no slash in front
_QUERY = re.compile(r"[?#]")
_STORE = re.compile(
    r"(?i)https://[^/?#]*\.(amazonaws\.com|r2\.cloudflarestorage\.com"
    r"|(blob|dfs)\.(core\.windows\.net|fabric\.microsoft\.com))([/?#]|$)"
)


class Place(NamedTuple):
    """A location's store (`s3://bucket`, or empty for this machine's files), and the key in it."""

    root: str
    key: str

    @property
    def location(self) -> str:
        """The two together."""
        return f"{self.root}/{self.key}"


def resolve(name: str, base: str) -> str:
    """The location that `name` means beside the files of folder or prefix `base`.

    Raises StemboxError: it is empty, or of a kind that no store here reads.
    """
    if not name.strip():
        raise StemboxError("an empty name is no location")
    scheme = scheme_of(name)
    if scheme == "file":
        return _normal(unquote(urlsplit(name).path))
    if scheme:
        if scheme not in SCHEMES:
            raise StemboxError(f"{scheme}:// is not known; known: file, {', '.join(SCHEMES)}")
        name = scheme + name[len(scheme):]
        return name if is_web(name) else _DOUBLED.sub(r"\1/", name)
    if name.startswith("/") and not scheme_of(base):
        return _normal(name)
    return join(base, escaped(base, name.removeprefix("./")))


def scheme_of(location: str) -> str:
    """`s3` of `s3://bucket/key`; empty of a path."""
    found = _URL.match(location)
    return found[1].lower() if found else ""


def is_web(location: str) -> bool:
    """Whether it is an address of the web, which is asked for as it stands.

    One at a store's own host is none, unless it is signed: the store is asked for that key.
    """
    return scheme_of(location) in WEB and ("?" in location or not _STORE.match(location))


def escaped(base: str, name: str) -> str:
    """A file's name as locations below `base` have it."""
    return quote(name) if is_web(base) else name


def unescaped(location: str, name: str) -> str:
    """A file's name, of a part of a location."""
    return unquote(name) if is_web(location) else name


def name_of(location: str) -> str:
    """The name of the file that lies there."""
    return unescaped(location, _without_query(location).rpartition("/")[2])


def shown(name: str) -> str:
    """A name as people can read it: what cannot be printed is escaped."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in name)


def split(location: str) -> Place:
    """A location that `resolve` gave, in its two parts."""
    if not scheme_of(location):
        return Place("", location.lstrip("/"))
    scheme, _, rest = location.partition("://")
    host, _, key = rest.partition("/")
    return Place(f"{scheme.lower()}://{host}", key)


def join(base: str, name: str) -> str:
    """The location of `name` below a folder or prefix."""
    location = f"{base.rstrip('/')}/{name}"
    return location if scheme_of(base) else _normal(location)


def _normal(path: str) -> str:
    return os.path.normpath(f"/{path.lstrip('/')}")  # POSIX keeps two slashes in front


def is_below(location: str, prefix: str) -> bool:
    """Whether a location lies in a folder or prefix, or in one of its folders."""
    return location.startswith(f"{prefix.rstrip('/')}/")


def parent(location: str) -> str:
    """The folder or prefix that a location lies in."""
    root, key = split(_without_query(location))
    return Place(root, key.rpartition("/")[0]).location


def _without_query(location: str) -> str:
    return _QUERY.split(location, 1)[0] if is_web(location) else location
