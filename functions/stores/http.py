"""The edge: routes, authentication, size and type limits, and one mapping of errors to problem+json (RFC 9457)."""

import json
import re
import secrets
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from io import BytesIO
from threading import Thread
from typing import Any, TypeVar
from uuid import UUID

import flask
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import MethodNotAllowed as RoutingMethodNotAllowed
from werkzeug.exceptions import NotFound as RoutingNotFound
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.routing import Map, Rule

from stores import auth, errors, events, lifecycle, logs, net
from stores.errors import UrumiError
from stores.settings import settings

MAX_BODY = 64 * 1024
KEY = re.compile(r"[!-~]{1,200}")
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Call:
    """One request to a function, its caller known."""

    request: flask.Request
    caller: auth.Caller
    arguments: dict[str, Any]

    @property
    def store_id(self) -> UUID:
        value: UUID = self.arguments["store_id"]
        return value

    @property
    def origin(self) -> lifecycle.Origin:
        return lifecycle.Origin(self.caller, self.ip)

    @property
    def ip(self) -> str | None:
        """The client's address as the outermost trusted proxy saw it."""
        hops = [*self.request.headers.get("X-Forwarded-For", "").replace(" ", "").split(","), self.request.remote_addr]
        known = [hop for hop in hops if hop]
        return known[max(0, len(known) - 1 - settings().proxies)] if known else None

    def body(self, model: type[Model]) -> tuple[Model, bytes]:
        """The JSON body as `model`, and its bytes. Raises BadRequest, TooLarge, WrongMediaType or Invalid."""
        raw = read_body(self.request)
        if self.request.mimetype != "application/json":
            raise errors.WrongMediaType("Send JSON with Content-Type: application/json.")
        try:
            data = json.loads(raw)
        except (ValueError, RecursionError):
            raise errors.BadRequest("The body is not valid JSON.") from None
        return parse(model, data), raw


def idempotency_key(request: flask.Request) -> str | None:
    """The header of that name. Raises Invalid when it is not 1 to 200 visible ASCII characters."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not KEY.fullmatch(key):
        raise errors.Invalid(
            "Idempotency-Key must have 1 to 200 visible ASCII characters.", fields={"Idempotency-Key": "form"}
        )
    return key


def read_body(request: flask.Request) -> bytes:
    request.max_content_length = MAX_BODY
    try:
        return request.get_data()
    except RequestEntityTooLarge:
        _drain(request)
        raise errors.TooLarge(f"The body may have at most {MAX_BODY // 1024} KiB.") from None


def _drain(request: flask.Request) -> None:
    """Takes the rest of a body off the wire, up to 16 MiB: closing before would cost the caller our answer.

    functions-framework reads the body once more after the handler and must not meet the limit again.
    """
    for _ in range(256):
        if not request.environ["wsgi.input"].read(64 * 1024):
            break
    request.stream = BytesIO()


def parse(model: type[Model], data: object) -> Model:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        fields = {
            ".".join(map(str, problem["loc"])) or "body": problem["msg"].removeprefix("Value error, ")
            for problem in error.errors(include_url=False, include_input=False)
        }
        raise errors.Invalid(
            "; ".join(f"{field}: {message}" for field, message in fields.items()), fields=fields
        ) from None


class Api:
    """The routes of one function. `handle` is the whole of its handler."""

    def __init__(self) -> None:
        self._map = Map(strict_slashes=False)

    def route(
        self, method: str, path: str, *, public: bool = False
    ) -> Callable[[Callable[[Call], flask.Response]], Callable[[Call], flask.Response]]:
        """Adds a route; a public one is answered without a token."""

        def add(function: Callable[[Call], flask.Response]) -> Callable[[Call], flask.Response]:
            self._map.add(Rule(path, methods=[method], endpoint=(function, public)))
            return function

        return add

    def handle(self, request: flask.Request) -> flask.Response:
        """Answers one request; every error becomes problem+json, and none of them shows a secret or a traceback."""
        with_context(request)
        try:
            (function, public), arguments = self._match(request)
            caller = (
                auth.Caller("nobody", "none") if public else auth.authenticate(request.headers.get("Authorization"))
            )
            response: flask.Response = function(Call(request, caller, arguments))
        except Exception as error:
            response = problem(error)
        response.headers["X-Request-Id"] = logs.request_id.get() or ""
        return response

    def _match(self, request: flask.Request) -> tuple[tuple[Callable[[Call], flask.Response], bool], dict[str, Any]]:
        adapter = self._map.bind("")
        try:
            endpoint, arguments = adapter.match(request.path, method=request.method)
        except RoutingMethodNotAllowed as error:
            allow = sorted(error.valid_methods or [])
            raise errors.MethodNotAllowed(f"This address takes {', '.join(allow)} here.", allow=allow) from None
        except RoutingNotFound:
            raise errors.NotFound("There is nothing at this address.") from None
        return endpoint, dict(arguments)


def with_context(request: flask.Request) -> None:
    logs.configure()
    logs.request_id.set(request.headers.get("X-Request-Id", "")[:64] or secrets.token_hex(8))
    # Knative's own hops may start a trace of theirs; an event brings along the one that it was sent in.
    parent = request.headers.get("ce-traceparent") or request.headers.get("traceparent")
    logs.traceparent.set(logs.new_traceparent(parent))


def problem(error: Exception) -> flask.Response:
    """The answer to an error. What is not an UrumiError is logged with its traceback and shown as a plain 500."""
    if not isinstance(error, UrumiError):
        logs.log.error("unexpected error", exc_info=error)
        error = UrumiError(
            "The platform made a mistake. It was logged; try again, and report the request id if it stays."
        )
    document: dict[str, Any] = {
        "type": f"urn:urumi:problem:{error.reason}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
    }
    if isinstance(error, errors.Invalid):
        document["errors"] = [{"field": field, "message": text} for field, text in error.fields.items()]
    response = flask.Response(json.dumps(document), status=error.status, mimetype="application/problem+json")
    if isinstance(error, errors.Retryable):
        response.headers["Retry-After"] = str(max(1, round(error.retry_after + 0.5)))
    if isinstance(error, errors.Unauthorized):
        response.headers["WWW-Authenticate"] = 'Bearer realm="urumi"'
    if isinstance(error, errors.MethodNotAllowed):
        response.headers["Allow"] = ", ".join(error.allow)
    return response


def answer(document: BaseModel | dict[str, Any], status: int = 200) -> flask.Response:
    text = document.model_dump_json() if isinstance(document, BaseModel) else json.dumps(document)
    response = flask.Response(text, status=status, mimetype="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response


def emit_after(response: flask.Response, event: events.StoreRequested | events.StoreRetired) -> flask.Response:
    """Sends the event once the caller has the answer: a slow or absent broker costs the merchant nothing.

    The row is committed already. If this process dies first, the sweep finds the row.
    """
    context = logs.new_traceparent(logs.traceparent.get())
    response.call_on_close(lambda: emit(event, traceparent=context))
    return response


def emit(event: events.StoreRequested | events.StoreRetired, *, traceparent: str | None) -> None:
    """Sends one event to the sink in a thread of its own; a failure is logged and otherwise harmless.

    Knative's in-memory broker answers when reconcile has, and drops the event of a sender who hangs up before: its
    first try at a sleeping reconcile and all later ones.
    """
    sink = settings().sink
    if sink is None:
        return
    headers, body = events.encode(event, traceparent=traceparent)
    fields = {"type": event.type, "store": event.store_id}
    Thread(target=copy_context().run, args=(_send, sink, headers, body, fields), daemon=True).start()


def _send(sink: str, headers: dict[str, str], body: bytes, fields: dict[str, object]) -> None:
    try:
        net.post(sink, headers, body, seconds=net.DELIVERY)
        logs.log.info("event delivered", extra={"fields": fields})
    except OSError as error:
        message = "event not delivered, the sweep will do its work"
        logs.log.warning(message, extra={"fields": fields | {"error": str(error)}})
