"""Looks that no event asks for: at what waits, a store for its cluster or the stock for calm, and at what is to come.

A failed action is due again without an event, some reasons for a store's trouble are in objects that nobody watches,
and the broker keeps events in memory only. The sweep would find all of that, up to a minute later.
These looks end with the process, which Knative ends when no request comes: they save time, and nothing depends on them.
"""

from collections.abc import Callable, Hashable
from threading import Lock, Timer

from stores.errors import Busy, UrumiError
from stores.logs import log

SECONDS = 4.0

_due: dict[Hashable, Timer] = {}
_lock = Lock()


def later(what: Hashable, look: Callable[[], object], *, seconds: float | None = None) -> None:
    """Calls `look` after so many seconds, SECONDS by default, once however often it is asked for meanwhile."""
    with _lock:
        if what in _due:
            return
        timer = _due[what] = Timer(SECONDS if seconds is None else seconds, _look, (what, look))
    timer.daemon = True  # a process that is told to end does not wait for it
    timer.start()


def _look(what: Hashable, look: Callable[[], object]) -> None:
    with _lock:
        _due.pop(what, None)
    try:
        look()
    except Busy:  # whoever works on it may not look again
        later(what, look)
    except UrumiError as error:
        log.info("no second look", extra={"fields": {"what": str(what), "reason": error.reason}})
    except Exception:
        log.exception("second look failed", extra={"fields": {"what": str(what)}})
