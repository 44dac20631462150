"""reconcile: takes CloudEvents and brings stores closer to what their owners want. Alone touches the cluster.

Answers 204 without a body: Knative's broker turns any other answer that is no CloudEvent into an error and repeats the
event. 409 (another call has the store) and 503 are repeated, 400 is not.
"""

import flask
import functions_framework

from stores import dead_letters, events, http, lifecycle


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
            case events.Converge(store_id, namespace):
                lifecycle.converge(store_id=store_id, namespace=namespace)
            case events.Ignore():
                pass
    except Exception as error:
        return http.problem(error)
    return flask.Response(status=204)
