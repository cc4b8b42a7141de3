"""One tree of errors for the whole server. Each API gives an error its own body and status.

`message` is a sentence for the user: it never holds a path, a stack or a secret.
"""

import errno
from typing import Final

FULL_FOR_ALL: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS))
"""What a disk says on which no other file would fare better."""


def in_seconds(number: float) -> str:
    """A length of time for sentences, such as "1 second" and "2.5 seconds"."""
    text = f"{number:g}" if isinstance(number, float) else str(number)
    return f"{text} second{'s' * (number != 1)}"


class StemboxError(Exception):
    """Base of every error whose message may be shown to a user."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ConfigError(StemboxError):
    """A setting is unknown, or its value is not allowed."""


class AudioError(StemboxError):
    """The input cannot be turned into sound. Trying again would change nothing."""


class UnsupportedFormat(AudioError):
    """The bytes are no audio that the decoders know."""


class AudioTooLong(AudioError):
    """More samples than `limits.max_audio_seconds` allows."""


class AudioTooShort(AudioError):
    """Fewer samples than `limits.min_audio_seconds` asks for."""


class ModelError(StemboxError):
    """A model is not on the machine, or its files cannot be loaded."""


class UploadRejected(StemboxError):
    """A request body that is no upload: a part missing, two parts, a malformed boundary."""


class FileTooLarge(StemboxError):
    """An upload grew over its limit; it was cut off there."""


class AddressForbidden(StemboxError):
    """A URL that leads, or is led, to an address that the server must not call."""


class Unreachable(StemboxError):
    """A URL that gave no usable answer: no such host, refused, too slow, not 200, cut off."""


class ServerBusy(StemboxError):
    """Too many jobs wait, or no worker is ready: worth trying again after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: int = 30) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TooManyAtOnce(StemboxError):
    """An account has as many of something under way as it may, whatever others do: worth trying
    again after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: int = 30) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DiskFull(StemboxError):
    """The disk has too little room for new work."""


class JobNotFound(StemboxError):
    """No job has this id (or it is not this account's)."""


class TrackNotFound(StemboxError):
    """The job has no such track, or not yet."""


class TrackDamaged(StemboxError):
    """A track's file is not what was written: the disk has lost some of it."""


class JobNotCompleted(StemboxError):
    """Tracks were asked for before the job had made them."""


class StageFailed(StemboxError):
    """A stage failed for a reason inside the server. It may be tried again."""


class NotFinite(StageFailed):
    """A model answered with a NaN or an infinity to samples that were sound."""


class WorkerLost(StemboxError):
    """The worker died or stalled in the middle of a task. The task may be tried again.

    `alone` tells whether this was the only task that ran, and so perhaps its killer.
    """

    def __init__(self, message: str, alone: bool = True) -> None:
        super().__init__(message)
        self.alone = alone


class WorkerGone(StemboxError):
    """The worker was gone before it got the task, or went while that lay still: nobody's fault."""


class Cancelled(StemboxError):
    """The job was cancelled while its task ran."""


class MissingKey(StemboxError):
    """A request without an API key."""


class InvalidKey(StemboxError):
    """An API key that this server never made."""


class RevokedKey(StemboxError):
    """An API key that is not valid any more."""


class KeyNotAllowed(StemboxError):
    """An API key that does not open this API."""


class RateLimited(StemboxError):
    """A key that has been used too often: worth trying again after `retry_after` seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"Rate limit exceeded. Try again in {in_seconds(retry_after)}.")
        self.retry_after = retry_after


class InvalidRequest(StemboxError):
    """A request that does not say what the contract asks for."""


class NotEnoughCredits(StemboxError):
    """The account has fewer credits than the `required` seconds."""

    def __init__(self, required: int) -> None:
        super().__init__("Not enough credits for this job.")
        self.required = required


class UploadNotFound(StemboxError):
    """No complete upload has this key (or it is not this account's)."""


class UploadTaken(StemboxError):
    """A second PUT to one signed URL, of other bytes."""


class WebhookNotFound(StemboxError):
    """No webhook has this id (or it is not this account's)."""


class DeliveryNotFound(StemboxError):
    """No delivery has this id (or it is not this account's)."""


class AlreadyDelivered(StemboxError):
    """A delivery that has arrived: it is not sent again."""


class IdempotencyConflict(StemboxError):
    """An Idempotency-Key that came before with another body."""
