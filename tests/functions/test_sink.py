"""Events leave the functions after the answer, and nobody minds when they get lost."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from uuid import UUID

import pytest

from stores import events
from tests.functions.conftest import Api
from tests.support import World, eventually, posted_to


@pytest.fixture
def sink(world: World) -> Iterator[list[tuple[dict[str, str], bytes]]]:
    """What arrives at the functions' sink."""
    received: list[tuple[dict[str, str], bytes]] = []

    def take(headers: dict[str, str], body: bytes) -> int:
        received.append((headers, body))
        return 202

    with posted_to(take) as url:
        world.configure(sink=url)
        yield received


def test_each_change_of_an_intent_is_told_to_the_sink(api: Api, sink: list[tuple[dict[str, str], bytes]]) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    response = api.create(headers={"traceparent": trace})
    assert sink == [], "the caller has the answer before the event is sent"
    response.close()
    store_id = response.get_json()["id"]
    headers, body = eventually(lambda: sink)[0]
    assert events.decode(headers, body) == events.Converge(UUID(store_id), None)
    assert headers["ce-type"] == "dev.urumi.store.requested"
    assert headers["ce-traceparent"].split("-")[1] == trace.split("-")[1]
    api.sweep()
    api("POST", f"/api/stores/{store_id}/credentials").close()
    eventually(lambda: len(sink) == 2)
    api("DELETE", f"/api/stores/{store_id}").close()
    eventually(lambda: len(sink) == 3)
    types = [headers["ce-type"] for headers, _ in sink]
    assert types == ["dev.urumi.store.requested", "dev.urumi.store.requested", "dev.urumi.store.retired"]
    assert len({headers["ce-id"] for headers, _ in sink}) == 3


def test_a_refused_request_tells_nobody(api: Api, sink: list[tuple[dict[str, str], bytes]]) -> None:
    api.create().close()
    eventually(lambda: len(sink) == 1)
    api.create().close()
    api.create(name="another").close()
    eventually(lambda: len(sink) == 2)


def test_the_event_is_not_dropped_because_the_sink_answers_only_when_all_is_done(api: Api, world: World) -> None:
    """As Knative's in-memory broker does: it answers when reconcile has."""
    done, answered = threading.Event(), threading.Event()

    class SlowBroker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            assert done.wait(30)
            assert not select.select([self.connection], [], [], 0)[0], "the sender has hung up"
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()
            answered.set()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), SlowBroker) as server:
        world.configure(sink=f"http://127.0.0.1:{server.server_port}/")
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        began = time.monotonic()
        api.create().close()
        assert time.monotonic() - began < 2, "nobody waits for the broker"
        time.sleep(2)  # longer than any hasty sender waits
        done.set()
        assert answered.wait(10)
        thread.join()


@pytest.mark.parametrize("trouble", ["nobody listens", "nobody answers"])
def test_a_sink_in_trouble_costs_the_caller_nothing(api: Api, world: World, trouble: str) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if trouble == "nobody answers":
            listener.listen()
        world.configure(sink=f"http://127.0.0.1:{listener.getsockname()[1]}/")
        response = api.create()
        assert response.status_code == 202
        began = time.monotonic()
        response.close()
        assert time.monotonic() - began < 3
    assert world.value("select count(*) from stores") == 1
