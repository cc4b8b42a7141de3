"""Encrypts short texts that the database keeps: who reads that alone, or a copy, learns nothing.

HMAC-SHA-256 as a pseudo-random function in counter mode (NIST SP 800-38A and 800-108), then as a
code over all of it (Krawczyk, "The Order of Encryption and Authentication", 2001).
"""

import base64
import binascii
import hmac
import secrets
from itertools import count

PREFIX = "sealed:"
NONCE_BYTES, CODE_BYTES = 16, 16


class Unreadable(Exception):
    """What is kept was sealed with another key, or is damaged."""


class Sealer:
    """Seals with a key that lies elsewhere. `name`: whose text it is; another's is not accepted."""

    def __init__(self, key: bytes) -> None:
        self._cipher_key = hmac.digest(key, b"seal/cipher", "sha256")
        self._code_key = hmac.digest(key, b"seal/code", "sha256")

    def seal(self, text: str, name: str) -> str:
        """The text as it is kept; never twice the same."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        body = nonce + self._crypt(nonce, text.encode())
        return PREFIX + base64.b64encode(body + self._code(name, body)).decode()

    def open(self, sealed: str, name: str) -> str:
        """The text again. Raises Unreadable."""
        try:
            data = base64.b64decode(sealed.removeprefix(PREFIX), validate=True)
        except (binascii.Error, ValueError):
            data = b""
        body, code = data[:-CODE_BYTES], data[-CODE_BYTES:]
        good = hmac.compare_digest(code, self._code(name, body))
        if not sealed.startswith(PREFIX) or len(body) < NONCE_BYTES or not good:
            raise Unreadable(name)
        return self._crypt(body[:NONCE_BYTES], body[NONCE_BYTES:]).decode()

    def _crypt(self, nonce: bytes, data: bytes) -> bytes:
        """Both ways: the data, exclusive-or the key stream of this nonce."""
        stream = b""
        for number in count():
            if len(stream) >= len(data):
                break
            stream += hmac.digest(self._cipher_key, nonce + number.to_bytes(8, "big"), "sha256")
        return bytes(a ^ b for a, b in zip(data, stream, strict=False))

    def _code(self, name: str, body: bytes) -> bytes:
        label = len(name.encode()).to_bytes(4, "big") + name.encode()
        return hmac.digest(self._code_key, label + body, "sha256")[:CODE_BYTES]


class Unsealed:
    """Keeps texts as they are: for databases that no stranger sees, as those of tests."""

    def seal(self, text: str, name: str) -> str:
        """The text."""
        return text

    def open(self, sealed: str, name: str) -> str:
        """The text."""
        return sealed
