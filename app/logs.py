"""Logging to stderr, as text or as one JSON object a line, with every secret taken out.

Secrets are removed from the finished text, tracebacks included, so that no library's own way of
logging can carry one past us.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TextIO

REDACTED = "[redacted]"

_LEVELS = {
    "httpx": logging.WARNING,  # logs each request with its query at INFO
    "httpcore": logging.WARNING,  # logs headers, so x-api-key, at DEBUG
    "uvicorn.error": logging.INFO,  # hands websockets its logger: headers and payloads at DEBUG
    "asyncio": logging.INFO,  # says which selector it uses
    "websockets": logging.INFO,  # headers and payloads at DEBUG
}
"""Loggers that say too much, and the least level they may have."""

_PATTERNS = (
    # The whole query of any path or address: tokens and resume tokens travel there.
    (re.compile(r"(?<=\S)\?\S*[^\s\"')\]},]"), "?" + REDACTED),
    (re.compile(r"(/webhooks/tavus/)[^\s\"'/?]+"), r"\1" + REDACTED),
    (re.compile(r"\b(bearer)([ .]+)[^\s\"',]+", re.IGNORECASE), r"\1\2" + REDACTED),
    (
        re.compile(r"\b(authorization\W{1,6}(?:b\W)?basic )[^\s\"',)]+", re.IGNORECASE),
        r"\1" + REDACTED,
    ),
    # A JSON Web Token, wherever it stands: its header begins with '{"', which is eyJ in base64.
    (re.compile(r"\beyJ[\w-]+(?:\.[\w-]+)+"), REDACTED),
    # name=value, "name": "value" and (b"name", b"value"): forms, JSON, headers.
    (
        re.compile(
            r"\b((?:x-api-key|api_key|(?:\w+_)?token|resume|(?:\w+_)?secret)"
            r"(?:[\"']?\s*[=:]|[\"']\s*,)\s*b?[\"']?)(?!\[redacted])[^\s\"',;&})\]]+",
            re.IGNORECASE,
        ),
        r"\1" + REDACTED,
    ),
)

_LONG = 8
"""Characters; a shorter configured key is taken out only where it stands as a word of its own."""


class Redactor:
    """Takes secrets out of text: those of a known shape, and the ones given."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Also take out each of ``secrets`` wherever it stands."""
        known = sorted(filter(None, secrets), key=len, reverse=True)
        self._known = re.compile("|".join(map(_literally, known))) if known else None

    def __call__(self, text: str) -> str:
        """Return ``text`` without secrets."""
        if self._known:
            text = self._known.sub(REDACTED, text)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text


class TextFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.000Z INFO app.serve: what happened``."""

    def __init__(self, redact: Redactor) -> None:
        """Write what ``redact`` leaves."""
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line, its traceback below."""
        return self._redact(super().format(record))

    def formatTime(  # noqa: N802  # logging's own name
        self,
        record: logging.LogRecord,
        datefmt: str | None = None,  # noqa: ARG002  # logging's own signature
    ) -> str:
        """Return the record's time, UTC, in milliseconds."""
        return _time(record)


class JsonFormatter(logging.Formatter):
    """``{"time", "level", "logger", "message", "exception"?}``, one line a record."""

    def __init__(self, redact: Redactor) -> None:
        """Write what ``redact`` leaves."""
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one JSON object without line breaks."""
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._redact(record.getMessage()),
        }
        if record.exc_info:
            line["exception"] = self._redact(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def configure(
    *, level: str, form: str, secrets: Iterable[str] = (), stream: TextIO | None = None
) -> None:
    """Send all logging to ``stream``, by default stderr, replacing what was configured before.

    ``level`` is ``debug`` to ``error``; ``form`` is ``text`` or ``json``; ``secrets`` are values
    that must never be written, such as configured keys.
    """
    redact = Redactor(secrets)
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(redact) if form == "json" else TextFormatter(redact))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(capture=True)
    for name, least in _LEVELS.items():
        logging.getLogger(name).setLevel(max(least, root.level))


def _literally(secret: str) -> str:
    literal = re.escape(secret)
    return literal if len(secret) >= _LONG else rf"(?<!\w){literal}(?!\w)"


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
