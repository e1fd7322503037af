"""Logs as JSON lines with a request id, and without what must never stand in a log (security 47, 58, 72)."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog
from stdnum import luhn

SECRET_NAMES = re.compile(r"authorization|cookie|password|secret|token|api_?key|\bkey\b|sid", re.IGNORECASE)
_PERSONAL_NUMBER = re.compile(r"(?<![0-9])((?:19|20)?[0-9]{6})([-+ ]?)([0-9]{4})(?![0-9])")
_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}")
_CREDENTIALS = re.compile(r"\b(Basic|Bearer)\s+[A-Za-z0-9+/=._~-]{6,}", re.IGNORECASE)
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _personal(found: re.Match[str]) -> str:
    """Hide what has a personal number's check digit and could be a date (also with 60 added: a coordination number)."""
    date, number = found[1][-6:], found[3]
    month, day = int(date[2:4]), int(date[4:6])
    if luhn.is_valid(date + number) and 1 <= month <= 12 and (1 <= day <= 31 or 61 <= day <= 91):
        return "[personal number]"
    return found[0]


def clean(text: str) -> str:
    """A text as a log may hold it: one line, no personal number, no e-mail address, no credentials."""
    text = _CREDENTIALS.sub(r"\1 [removed]", text)
    text = _PERSONAL_NUMBER.sub(_personal, text)
    text = _EMAIL.sub("[e-mail]", text)
    return _UNSEEN.sub(_escape, text)


def _cleaned(name: str, value: object, depth: int = 0) -> Any:
    if SECRET_NAMES.search(name):
        return "[removed]"
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, bytes):
        return f"[{len(value)} bytes]"
    if depth < 4 and isinstance(value, Mapping):
        return {clean(str(key)): _cleaned(str(key), each, depth + 1) for key, each in value.items()}
    if depth < 4 and isinstance(value, (list, tuple, set, frozenset)):
        return [_cleaned("", each, depth + 1) for each in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return clean(str(value))


def keep_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take out of a log line what must not stand there."""
    return {name: _cleaned(name, value) for name, value in event.items()}


def set_up(level: int = logging.INFO) -> None:
    """Send everything, our own lines and other packages', to standard error as JSON."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    final: list[Any] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        keep_secrets,
        structlog.processors.JSONRenderer(),
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=final))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
