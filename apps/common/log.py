"""One line an event, `key=value`, on stderr, with secrets taken out by a filter and not by habit."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

REDACTED = "[redacted]"
SECRET_KEYS = frozenset({"password", "secret", "token", "private_key", "authorization", "cookie"})
PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL)

EventDict = MutableMapping[str, Any]


def redact(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Replaces values under secret-looking keys and private keys within any text."""
    for name, value in event.items():
        if name.lower() in SECRET_KEYS:
            event[name] = REDACTED
        elif isinstance(value, str) and "PRIVATE KEY" in value:
            event[name] = PRIVATE_KEY.sub(REDACTED, value)
    return event


def configure_logging(program: str, *, level: int = logging.INFO) -> None:
    """Sets up the process's log; call once, at the start of a program."""

    def name_program(_logger: Any, _method: str, event: EventDict) -> EventDict:
        event["program"] = program
        return event

    structlog.configure(
        processors=[
            name_program,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            structlog.processors.LogfmtRenderer(
                key_order=["timestamp", "level", "program", "event"], drop_missing=True, bool_as_flag=False
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
