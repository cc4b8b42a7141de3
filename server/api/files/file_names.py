"""How an answer says what its file is to be saved as. Pure."""

import unicodedata
from typing import Final
from urllib.parse import quote

from server.names import FORBIDDEN

ATTR_CHARS: Final = "!#$&+-.^_`|~"  # RFC 8187's, beside letters and digits


def attachment(name: str) -> str:
    """The `Content-Disposition` of a file to be saved as `name` (RFC 6266, RFC 8187).

    Its plain form is what ASCII can say of it, without the %, which some clients decode.
    """
    letters = (c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    plain = "".join(c if " " <= c <= "~" and c != "%" else "_" for c in letters)
    extended = quote(name, safe=ATTR_CHARS)
    return f"attachment; filename=\"{plain.translate(FORBIDDEN)}\"; filename*=UTF-8''{extended}"
