"""Structured logs: one line an event on standard error, with job, stage and worker where known.

On a terminal for people, otherwise one JSON object a line. Standard logging ends up here too.
Every line passes the redaction.
"""

import logging
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import structlog
from structlog.typing import Processor

from server.config import Log
from server.redaction import Redaction


def set_up_logs(settings: Log, folders: Iterable[Path] = (), **context: Any) -> None:
    """Sets up this process's logs. `context` (such as worker=…) is on every line it writes.

    folders: whose paths no line tells.
    """
    console = settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        lambda _, __, event: {**context, **event},
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render: list[Processor] = (
        [structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_encode)]
    )
    redact = Redaction(folders)
    handler = Handler(redact) if console else JsonHandler(redact)
    if isinstance(handler, JsonHandler):
        handler.context = context
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
    ))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    # Some of these tell of every argument, at debug: keys and secrets among them.
    for noisy in ("aiosqlite", "asyncio", "httpcore", "numba", "uvicorn.error"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of users' mistakes
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(root.level),
        cache_logger_on_first_use=False,
    )


class AccessLog:
    """One line for each request, without the detour of the other lines: most lines are these.

    `set_up_logs` comes first. What the context holds (request_id) is on the line as on any other.
    """

    def __init__(self) -> None:
        self._console = structlog.get_logger("server.access").bind()

    def __call__(self, level: str, event: str, **fields: Any) -> None:
        """Writes a line; `level` is debug or info."""
        root = logging.getLogger()
        number = logging.DEBUG if level == "debug" else logging.INFO
        handler = root.handlers[0] if root.handlers else None
        if not isinstance(handler, JsonHandler):
            self._console.log(number, event, **fields)
            return
        if number < root.level:
            return
        line = {**handler.context, **structlog.contextvars.get_contextvars(), **fields}
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        handler.write({**line, "event": event, "level": level, "timestamp": now})


class Handler(logging.StreamHandler[Any]):
    """Writes redacted lines to standard error."""

    def __init__(self, redact: Redaction) -> None:
        super().__init__(sys.stderr)
        self.redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """The line, traceback included."""
        return self.redact(super().format(record))


class JsonHandler(Handler):
    """Writes lines of JSON; also those that come ready as a dict."""

    context: Mapping[str, Any] = MappingProxyType({})

    def write(self, line: dict[str, Any]) -> None:
        """One line. A log that cannot be written (a full disk, nobody at the pipe's other end)
        is nobody else's affair."""
        text = self.redact(_encode(line)) + "\n"
        self.acquire()
        try:
            with suppress(OSError, ValueError):
                self.stream.write(text)
                self.flush()
        finally:
            self.release()


def _encode(event: dict[str, Any], **_: Any) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()
