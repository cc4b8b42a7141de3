"""Names of files as strangers give them, made fit to be shown, stored and offered again. Pure."""

import re
import unicodedata
from typing import Final
from urllib.parse import unquote

MAX_BYTES: Final = 255  # of UTF-8: what file systems take
MAX_SUFFIX: Final = 16  # bytes
REMOVED: Final = frozenset(("Cc", "Cs", "Zl", "Zp"))  # controls, surrogates, line separators
TURNS: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""What turns the direction of text (UAX 9): a name could show another suffix than it has."""
JOINER: Final = "\u200d"
SONG_BYTES: Final = 180  # of a name's 255: behind it come the track and a browser's own additions
SUFFIX: Final = re.compile(r"\.(?=[0-9]*[a-z])[a-z0-9]{2,5}$", re.IGNORECASE)
JOINERS: Final = "\u200c\u200d"  # format characters that belong to words and to emoji
# What Windows allows in no name, and names that it takes for devices, whatever their suffix.
FORBIDDEN: Final = str.maketrans(dict.fromkeys('<>:"/\\|?*', "_"))
PATH: Final = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?(?://[^/?#]*)?([^?#]*)", re.IGNORECASE)
DEVICE: Final = re.compile(
    r"(con|prn|aux|nul|com[0-9]|lpt[0-9]|conin\$|conout\$) *(\..*)?", re.IGNORECASE
)


def clean_name(raw: str) -> str:
    """A file name for people: the base name alone, no control characters, 255 bytes at most, or ''.

    A long name loses its middle, not its suffix, which error messages show.
    """
    base = raw.replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join(c for c in base if unicodedata.category(c) not in REMOVED and c not in TURNS)
    name = name.strip()
    return "" if name in (".", "..") else shortened(name, MAX_BYTES)


def shortened(name: str, most: int) -> str:
    """The name in `most` bytes of UTF-8 at the most, cut before its suffix and between letters."""
    if len(name.encode()) <= most:
        return name
    stem, dot, suffix = name.rpartition(".")
    if not stem or len(suffix.encode()) > MAX_SUFFIX:
        stem, dot, suffix = name, "", ""
    room = most - len(f"{dot}{suffix}".encode())
    kept = stem.encode()[:room].decode(errors="ignore")
    return f"{_whole_letters(kept, stem[len(kept) :])}{dot}{suffix}"


def song_of(file_name: str, otherwise: str) -> str:
    """The song that a file is named after: no folders, no suffix, nothing that names must not hold.

    otherwise: what the song is called if nothing is left.
    """
    text = unicodedata.normalize("NFC", re.split(r"[/\\]", file_name)[-1])
    text = "".join(filter(_is_written, re.sub(r"\s", " ", text)))
    text = re.sub(" +", " ", text).strip()
    text = SUFFIX.sub("", text).translate(FORBIDDEN).lstrip(". ")  # a dot in front would hide it
    song = shortened(text, SONG_BYTES).strip(" " + JOINERS)
    if DEVICE.fullmatch(unicodedata.normalize("NFKD", song)):
        song = f"_{song}"
    return song or otherwise


def name_in_url(url: str) -> str:
    """The clean name at the end of a URL's path, or ''."""
    path = PATH.match(url)  # `urlsplit` would normalise a host, however long it is
    return clean_name(unquote(path[1])) if path else ""


def _whole_letters(kept: str, cut_off: str) -> str:
    """Takes off a letter whose accents, or other parts, were cut off."""
    end = len(kept)
    following = cut_off[:1]
    while end and (_belongs(following) or kept[end - 1] == JOINER):
        end -= 1
        following = kept[end]
    return kept[:end].rstrip() or kept


def _belongs(character: str) -> bool:
    """Whether it is a part of the letter before it."""
    return character == JOINER or unicodedata.category(character).startswith("M")


def _is_written(character: str) -> bool:
    """Neither control nor format (which may turn the reading direction), nor half a character."""
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs") or character in JOINERS
