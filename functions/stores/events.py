"""The catalogue of CloudEvents. An event is a hint, the row is the truth, the sweep is the guarantee.

So events carry a store's id and nothing else: losing, repeating or reordering them changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from cloudevents.conversion import to_binary
from cloudevents.exceptions import GenericException
from cloudevents.http import CloudEvent, from_http

from stores.errors import BadRequest

STORE_LABEL = "urumi.dev/store"


@dataclass(frozen=True, kw_only=True)
class StoreRequested:
    """A store was asked for, or something about it changed: bring it closer to what its row says."""

    type: ClassVar[str] = "dev.urumi.store.requested"
    source: ClassVar[str] = "/functions/create"
    store_id: UUID
    version: int


@dataclass(frozen=True, kw_only=True)
class StoreRetired:
    """A store's owner wants it gone."""

    type: ClassVar[str] = "dev.urumi.store.retired"
    source: ClassVar[str] = "/functions/delete"
    store_id: UUID
    version: int


SWEEP_DUE = "dev.urumi.sweep.due"  # from the CronJob (or the local clock): look after all stores
CLUSTER_CHANGED = "dev.urumi.cluster.changed"  # from the watch: an object of the store in this namespace changed
CALLER_CAME = "dev.urumi.cluster.caller-came"  # from the watch: a sleeping function that sends us events is waking up


def encode(event: StoreRequested | StoreRetired, *, traceparent: str | None) -> tuple[dict[str, str], bytes]:
    """HTTP headers and body in binary mode. The id follows from the store's version, so a repeat has the same id."""
    attributes = {
        "type": event.type,
        "source": event.source,
        "subject": str(event.store_id),
        "id": str(uuid5(NAMESPACE_URL, f"{event.type}/{event.store_id}/{event.version}")),
        "datacontenttype": "application/json",  # without it the broker gets text/html
    }
    if traceparent:
        attributes["traceparent"] = traceparent
    headers, body = to_binary(CloudEvent(attributes, {"version": event.version}))
    return headers, body


def hint(kind: str, *, source: str, subject: str | None = None) -> tuple[dict[str, str], bytes]:
    """Headers and body of an event that no row stands behind; no two are the same."""
    attributes = {"type": kind, "source": source, "id": str(uuid4()), "datacontenttype": "application/json"}
    if subject:
        attributes["subject"] = subject
    headers, body = to_binary(CloudEvent(attributes, {}))
    return headers, body


@dataclass(frozen=True)
class Sweep:
    """Look after all stores."""


@dataclass(frozen=True)
class Converge:
    """Look after one store, named by its id or by its namespace."""

    store_id: UUID | None
    namespace: str | None


@dataclass(frozen=True)
class Prepare:
    """An event about a store will come in a moment."""


@dataclass(frozen=True)
class Ignore:
    """A well-formed event that is about no store of ours."""


def decode(headers: Mapping[str, str], body: bytes) -> Sweep | Converge | Prepare | Ignore:
    """What an incoming event asks for. Raises BadRequest for what is no CloudEvent or of no known type."""
    try:
        event = from_http(dict(headers), body)
    except (GenericException, ValueError, RecursionError) as error:
        raise BadRequest(
            f"This is not a CloudEvent: {type(error).__name__}. Send one in binary or structured mode."
        ) from None
    kind = str(event["type"])
    if kind == SWEEP_DUE or kind.startswith("dev.knative.sources.ping"):
        return Sweep()
    if kind in (StoreRequested.type, StoreRetired.type):
        return Converge(_uuid(event.get("subject")), None)
    if kind == CLUSTER_CHANGED:
        namespace = str(event.get("subject"))
        return Converge(None, namespace) if namespace.startswith("store-") else Ignore()
    if kind == CALLER_CAME:
        return Prepare()
    raise BadRequest(f"No event of type {kind} is known here.")


def _uuid(subject: object) -> UUID:
    try:
        return UUID(str(subject))
    except ValueError:
        raise BadRequest("The event's subject must be a store's id.") from None
