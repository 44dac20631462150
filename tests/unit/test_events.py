"""CloudEvents in and out."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from cloudevents.conversion import to_binary, to_structured
from cloudevents.http import CloudEvent, from_http

from stores.errors import BadRequest
from stores.events import (
    CALLER_CAME,
    CLUSTER_CHANGED,
    SWEEP_DUE,
    Converge,
    Ignore,
    Prepare,
    StoreRequested,
    StoreRetired,
    Sweep,
    decode,
    encode,
    hint,
)

ID = UUID("01936000-0000-7000-8000-0123456789ab")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def event(type_: str, **attributes: str) -> CloudEvent:
    return CloudEvent({"type": type_, "source": "/test", **attributes}, {})


@pytest.mark.parametrize("made", [StoreRequested, StoreRetired])
def test_what_we_send_is_a_binary_event_about_the_store(made: Any) -> None:
    headers, body = encode(made(store_id=ID, version=3), traceparent=TRACE)
    assert headers["ce-type"] == made.type
    assert headers["ce-source"] == made.source
    assert headers["ce-subject"] == str(ID)
    assert headers["ce-traceparent"] == TRACE
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == {"version": 3}
    assert decode(headers, body) == Converge(ID, None)


def test_repeating_an_event_repeats_its_id_and_another_version_has_another() -> None:
    def identifier(made: StoreRequested | StoreRetired) -> str:
        return encode(made, traceparent=None)[0]["ce-id"]

    first = identifier(StoreRequested(store_id=ID, version=3))
    assert identifier(StoreRequested(store_id=ID, version=3)) == first
    assert identifier(StoreRequested(store_id=ID, version=4)) != first
    assert identifier(StoreRetired(store_id=ID, version=3)) != first


def test_an_event_without_a_trace_has_no_trace_attribute() -> None:
    assert "ce-traceparent" not in encode(StoreRequested(store_id=ID, version=1), traceparent=None)[0]


@pytest.mark.parametrize("mode", [to_binary, to_structured])
@pytest.mark.parametrize("made", [StoreRequested, StoreRetired])
def test_both_modes_are_understood(mode: Any, made: Any) -> None:
    headers, body = mode(event(made.type, subject=str(ID)))
    assert decode(headers, body) == Converge(ID, None)


def test_headers_are_understood_in_any_case() -> None:
    headers, body = to_binary(event(StoreRequested.type, subject=str(ID)))
    assert decode({name.upper(): value for name, value in headers.items()}, body) == Converge(ID, None)


@pytest.mark.parametrize("kind", ["dev.urumi.sweep.due", "dev.knative.sources.ping"])
@pytest.mark.parametrize("mode", [to_binary, to_structured])
def test_the_cron_job_and_a_ping_source_ask_for_a_sweep(kind: str, mode: Any) -> None:
    assert decode(*mode(event(kind))) == Sweep()


def test_a_change_in_the_cluster_names_the_store_by_its_namespace() -> None:
    changed = hint(CLUSTER_CHANGED, source="/watch", subject="store-0123456789ab")
    assert decode(*changed) == Converge(None, "store-0123456789ab")


@pytest.mark.parametrize("subject", ["kube-system", None])
def test_a_change_elsewhere_is_ignored(subject: str | None) -> None:
    assert decode(*hint(CLUSTER_CHANGED, source="/watch", subject=subject)) == Ignore()


def test_a_function_that_wakes_up_announces_an_event() -> None:
    assert decode(*hint(CALLER_CAME, source="/watch", subject="create")) == Prepare()


def test_no_two_hints_are_taken_for_one() -> None:
    first, second = (hint(SWEEP_DUE, source="/sweep")[0]["ce-id"] for _ in range(2))
    assert first != second


HEADERS = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/test", "content-type": "application/json"}


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b""),
        ({}, b"{}"),
        ({"content-type": "application/json"}, b'{"hello": "world"}'),
        (HEADERS, b"{}"),  # no type
        (HEADERS | {"ce-type": "dev.urumi.store.requested"}, b"{}"),  # no subject
        (HEADERS | {"ce-type": "dev.urumi.store.requested", "ce-subject": "no-uuid"}, b"{}"),
        (HEADERS | {"ce-type": "com.example.other"}, b"{}"),
        (HEADERS | {"ce-type": "dev.urumi.sweep.due", "ce-specversion": "9.9"}, b"{}"),
        ({"content-type": "application/cloudevents+json"}, b"[]"),
        ({"content-type": "application/cloudevents+json"}, b"null"),
        ({"content-type": "application/cloudevents+json"}, b'"text"'),
        ({"content-type": "application/cloudevents+json"}, b"{"),
        ({"content-type": "application/cloudevents+json"}, b"\xff"),
        ({"content-type": "application/cloudevents+json"}, b"[" * 100_000),
    ],
)
def test_what_is_no_event_of_ours_is_a_bad_request(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(BadRequest):
        decode(headers, body)


def test_our_events_can_be_read_by_others() -> None:
    headers, body = encode(StoreRequested(store_id=ID, version=1), traceparent=None)
    assert from_http(headers, body)["specversion"] == "1.0"
