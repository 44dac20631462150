"""Events that Knative gave up on, kept where an operator sees them and can send them again.

None of them is needed: the sweep brings every store to where its row says. But each says that reconcile failed or
refused for minutes, and somebody should know.
"""

from collections.abc import Mapping
from typing import Any

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from stores import db, net
from stores.errors import BadRequest
from stores.logs import log

PATH = "/dead-letters"  # the triggers' deadLetterSink names it
ERROR = "ce-knativeerror"  # -code, -data, -dest: what Knative adds to a dead letter
KEPT = "30 days"


def keep(headers: Mapping[str, str], body: bytes) -> None:
    """Writes down one dead letter. Idempotent: the same event again is the same row, to be looked at anew.

    Raises BadRequest for what is no CloudEvent in binary mode, Unavailable when PostgreSQL is away.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    event = {name: value for name, value in lower.items() if name.startswith("ce-") or name == "content-type"}
    try:
        source, event_id, kind = event["ce-source"], event["ce-id"], event["ce-type"]
    except KeyError as error:
        raise BadRequest(f"This is not a CloudEvent in binary mode: the header {error} is missing.") from None
    code = event.get(f"{ERROR}code", "")
    subject = event.get("ce-subject") or event.get("ce-namespace") or event.get("ce-name")
    sendable = {name: value for name, value in event.items() if not name.startswith(ERROR)}
    with db.transaction() as tx:
        tx.execute("delete from dead_letters where received_at < now() - %s::interval", (KEPT,))
        tx.execute(
            "insert into dead_letters (source, event_id, type, subject, error_code, headers, body)"
            " values (%s, %s, %s, %s, %s, %s, %s) on conflict (source, event_id) do update set"
            " received_at = now(), error_code = excluded.error_code, replayed_at = null",
            (source, event_id, kind, subject, int(code) if code.isdecimal() else None, Jsonb(sendable), body),
        )
    log.error(
        "event could not be delivered", extra={"fields": {"type": kind, "subject": subject, "answer": code or None}}
    )


def waiting() -> list[dict[str, Any]]:
    """Those that were not sent again, oldest first."""
    with db.connection() as conn, conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "select id, received_at, type, subject, error_code from dead_letters where replayed_at is null order by id"
        ).fetchall()


def replay(sink: str, letters: list[int]) -> list[int]:
    """Sends these again (all that wait, if none is named); returns the ids of what the sink took.

    Each is noted before the next is sent, so after an error the rest still waits. Raises OSError.
    """
    sent = []
    with db.connection() as conn:
        rows = conn.execute(
            "select id, headers, body from dead_letters where id = any(%s) or (%s and replayed_at is null) order by id",
            (letters, not letters),
        ).fetchall()
        for letter, headers, body in rows:
            net.post(sink, headers, bytes(body), seconds=30)
            conn.execute("update dead_letters set replayed_at = now() where id = %s", (letter,))
            sent.append(letter)
    return sent


def count() -> int:
    """How many wait."""
    with db.connection() as conn:
        row = conn.execute("select count(*) from dead_letters where replayed_at is null").fetchone()
    return row[0] if row else 0
