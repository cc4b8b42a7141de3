"""What downloads are called: after the song, by names that every system can write. Pure."""

import re
import unicodedata
from typing import Final
from urllib.parse import quote

from server.names import shortened

SONG_BYTES: Final = 180  # of a name's 255: behind it come the track and a browser's own additions
SUFFIX: Final = re.compile(r"\.(?=[0-9]*[a-z])[a-z0-9]{2,5}$", re.IGNORECASE)
JOINERS: Final = "\u200c\u200d"  # format characters that belong to words and to emoji
# What Windows allows in no name, and names that it takes for devices, whatever their suffix.
FORBIDDEN: Final = str.maketrans(dict.fromkeys('<>:"/\\|?*', "_"))
DEVICE: Final = re.compile(
    r"(con|prn|aux|nul|com[0-9]|lpt[0-9]|conin\$|conout\$) *(\..*)?", re.IGNORECASE
)
ATTR_CHARS: Final = "!#$&+-.^_`|~"  # RFC 8187's, beside letters and digits


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


def attachment(name: str) -> str:
    """The `Content-Disposition` of a file to be saved as `name` (RFC 6266, RFC 8187).

    Its plain form is what ASCII can say of it, without the %, which some clients decode.
    """
    letters = (c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    plain = "".join(c if " " <= c <= "~" and c != "%" else "_" for c in letters)
    extended = quote(name, safe=ATTR_CHARS)
    return f"attachment; filename=\"{plain.translate(FORBIDDEN)}\"; filename*=UTF-8''{extended}"


def _is_written(character: str) -> bool:
    """Neither control nor format (which may turn the reading direction), nor half a character."""
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs") or character in JOINERS
