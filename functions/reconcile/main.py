"""reconcile: takes CloudEvents and brings stores closer to what their owners want. Alone touches the cluster.

Answers 204 without a body: Knative's broker turns any other answer that is no CloudEvent into an error and repeats the
event. 409 (another call has the store) and 503 are repeated, 400 is not.
"""

import flask
import functions_framework

from stores import again, dead_letters, events, http, lifecycle
from stores.model import Action
from stores.settings import settings


@functions_framework.http
def reconcile_stores(request: flask.Request) -> flask.Response:
    http.with_context(request)
    try:
        if request.path == dead_letters.PATH:
            dead_letters.keep(request.headers, http.read_body(request))
            return flask.Response(status=204)
        match events.decode(request.headers, http.read_body(request)):
            case events.Sweep():
                lifecycle.sweep()
            case events.Converge() as wanted:
                converge(wanted)
            case events.Prepare():
                lifecycle.cluster()
                again.later("wishes", look_for_wishes, seconds=0)
            case events.Ignore():
                pass
    except Exception as error:
        return http.problem(error)
    return flask.Response(status=204)


def converge(wanted: events.Converge) -> None:
    if lifecycle.converge(store_id=wanted.store_id, namespace=wanted.namespace) is Action.WAIT:
        look_later(wanted)
    if settings().warm:
        again.later("stock", replenish)


def look_later(wanted: events.Converge, *, seconds: float | None = None) -> None:
    again.later(wanted, lambda: converge(wanted), seconds=seconds)


def replenish() -> None:
    if lifecycle.replenish():
        again.later("stock", replenish)


def look_for_wishes() -> None:
    """Begins with what the waking function writes at once: its event comes up to a second later than the row."""
    for store_id in lifecycle.fresh_wishes():
        look_later(events.Converge(store_id, None), seconds=0)
