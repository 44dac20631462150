"""JSON logs on standard error, one object a line, with request id and W3C trace context on every line."""

import json
import logging
import secrets
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

from stores.settings import settings

traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

log = logging.getLogger("urumi")


class JsonFormatter(logging.Formatter):
    """Fields given as `extra={"fields": {...}}` join the object; exceptions are their type and traceback."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "message": record.getMessage(),
            "request_id": request_id.get(),
            "traceparent": traceparent.get(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps({key: value for key, value in entry.items() if value is not None}, default=str)


def configure() -> None:
    """Idempotent. Only our own logger: a library's debug output may hold what must not be logged."""
    if not log.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonFormatter())
        log.addHandler(handler)
        log.propagate = False
    log.setLevel(settings().log_level)


def new_traceparent(parent: str | None = None) -> str:
    """A child span's context; https://www.w3.org/TR/trace-context/. An unusable parent starts a new trace."""
    parts = (parent or "").split("-")
    hexadecimal = len(parts) == 4 and all(c in "0123456789abcdef" for c in "".join(parts))
    valid = hexadecimal and parts[0] == "00" and len(parts[1]) == 32 and len(parts[2]) == 16 and set(parts[1]) != {"0"}
    trace = parts[1] if valid else secrets.token_hex(16)
    return f"00-{trace}-{secrets.token_hex(8)}-01"
