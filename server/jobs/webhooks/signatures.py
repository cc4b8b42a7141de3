"""How webhooks are signed, in both documented ways, and where secrets come from. Pure."""

import base64
import hashlib
import hmac
import secrets

from server.credentials import WEBHOOK_SECRET


def new_secret() -> str:
    """A new webhook secret: 32 random bytes."""
    return as_secret(secrets.token_bytes(32))


def as_secret(key: bytes) -> str:
    """A key as it is shown to people."""
    return WEBHOOK_SECRET + base64.b64encode(key).decode()


def callback_secret(master: bytes, account_id: str | None) -> str:
    """What signs the `callback_url` calls of an account's jobs (None: of jobs of nobody's).

    It follows from the server's own secret, so that it need not be stored.
    """
    return as_secret(hmac.digest(master, f"callback/{account_id or ''}".encode(), "sha256"))


def signed_headers(
    secret: str, message_id: str, now: float, event: str, body: bytes
) -> dict[str, str]:
    """The headers of one webhook request.

    X-Webhook-Signature is the documented scheme: HMAC-SHA256 of the body, keyed with the whole
    secret string. The `webhook-…` headers are those of the Standard Webhooks specification,
    whose key is what the secret's base64 stands for.
    """
    timestamp = str(int(now))
    key = base64.b64decode(secret.removeprefix(WEBHOOK_SECRET))
    content = b".".join((message_id.encode(), timestamp.encode(), body))
    standard = base64.b64encode(hmac.digest(key, content, "sha256")).decode()
    return {
        "Content-Type": "application/json",
        "X-Webhook-Signature": f"sha256={_hex(secret.encode(), body)}",
        "X-Webhook-Event": event,
        "X-Webhook-Id": message_id,
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{standard}",
    }


def _hex(key: bytes, body: bytes) -> str:
    return hmac.new(key, body, hashlib.sha256).hexdigest()
