"""What Knative could not deliver: reconcile writes it down, an operator sees it and sends it again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import functions_framework
import pytest
from werkzeug.test import Client

from stores import auth, cli, db, dead_letters
from stores.errors import BadRequest
from tests.support import FUNCTIONS, World

LETTER = {
    "Ce-Specversion": "1.0",
    "Ce-Type": "dev.urumi.store.requested",
    "Ce-Source": "/functions/create",
    "Ce-Id": "1",
    "Ce-Subject": "0190a1b2-3c4d-4e5f-8a6b-7c8d9e0f1a2b",
    "Ce-Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "Ce-Knativeerrorcode": "503",
    "Ce-Knativeerrordata": "cHJvYmxlbQ==",
    "Ce-Knativeerrordest": "http://reconcile.urumi-system.svc.cluster.local",
    "Content-Type": "application/json",
    "X-Forwarded-For": "10.0.0.1",
}


pytestmark = pytest.mark.usefixtures("world")


@pytest.fixture
def reconcile() -> Client:
    return Client(
        functions_framework.create_app(  # type: ignore[no-untyped-call]
            "reconcile_stores", str(FUNCTIONS / "reconcile" / "main.py")
        )
    )


class Broker(ThreadingHTTPServer):
    """A sink that takes events until it is told not to."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.status = 202
        super().__init__(("127.0.0.1", 0), Ingress)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class Ingress(BaseHTTPRequestHandler):
    server: Broker

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def broker() -> Iterator[Broker]:
    broker = Broker()
    thread = threading.Thread(target=broker.serve_forever, args=(0.01,))
    thread.start()
    yield broker
    broker.shutdown()
    thread.join()
    broker.server_close()


def test_reconcile_keeps_a_dead_letter_and_answers_without_a_body(reconcile: Client, world: World) -> None:
    response = reconcile.post(dead_letters.PATH, headers=LETTER, data=b"{}")
    assert (response.status_code, response.data) == (204, b"")
    (letter,) = dead_letters.waiting()
    assert (letter["type"], letter["subject"], letter["error_code"]) == (
        LETTER["Ce-Type"],
        LETTER["Ce-Subject"],
        503,
    )
    assert world.value("select count(*) from stores") == 0, "a dead letter is written down, not acted on"


def test_the_same_event_is_one_letter_however_often_it_dies() -> None:
    for _ in range(3):
        dead_letters.keep(LETTER, b"{}")
    dead_letters.keep(LETTER | {"Ce-Id": "2"}, b"{}")
    assert dead_letters.count() == 2


def test_what_is_no_event_is_refused_by_the_missing_header() -> None:
    with pytest.raises(BadRequest, match="ce-type"):
        dead_letters.keep({name: value for name, value in LETTER.items() if name != "Ce-Type"}, b"")


def test_a_letter_is_sent_again_as_it_was_and_no_longer_waits(broker: Broker) -> None:
    dead_letters.keep(LETTER, b'{"version": 1}')
    (letter,) = dead_letters.waiting()
    assert dead_letters.replay(broker.url, []) == [letter["id"]]
    ((headers, body),) = broker.received
    assert body == b'{"version": 1}'
    assert headers["ce-id"] == "1"
    assert headers["ce-traceparent"] == LETTER["Ce-Traceparent"]
    assert not [name for name in headers if name.startswith(("ce-knative", "x-forwarded"))]
    assert dead_letters.waiting() == []
    assert dead_letters.replay(broker.url, []) == []


def test_a_letter_that_dies_again_waits_again(broker: Broker) -> None:
    dead_letters.keep(LETTER, b"{}")
    dead_letters.replay(broker.url, [])
    dead_letters.keep(LETTER, b"{}")
    assert dead_letters.count() == 1


def test_what_the_sink_refuses_goes_on_waiting(broker: Broker) -> None:
    dead_letters.keep(LETTER, b"{}")
    broker.status = 500
    with pytest.raises(OSError, match="500"):
        dead_letters.replay(broker.url, [])
    assert dead_letters.count() == 1


def test_only_the_letters_that_are_named_are_sent(broker: Broker) -> None:
    for number in ("1", "2", "3"):
        dead_letters.keep(LETTER | {"Ce-Id": number}, b"{}")
    chosen = dead_letters.waiting()[1]["id"]
    assert dead_letters.replay(broker.url, [chosen]) == [chosen]
    assert [headers["ce-id"] for headers, _ in broker.received] == ["2"]


def test_letters_of_more_than_a_month_ago_are_forgotten(world: World) -> None:
    dead_letters.keep(LETTER, b"{}")
    world.rows("update dead_letters set received_at = now() - interval '31 days'")
    dead_letters.keep(LETTER | {"Ce-Id": "2"}, b"{}")
    assert world.value("select array_agg(event_id) from dead_letters") == ["2"]


def test_the_command_line_lists_and_sends(
    world: World, broker: Broker, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dead_letters.keep(LETTER, b"{}")
    world.configure(sink=broker.url)
    for command in ("list", "replay", "list"):
        monkeypatch.setattr("sys.argv", ["cli", "dead-letters", command])
        cli.main()
    listed, sent = capsys.readouterr().out.splitlines()
    assert LETTER["Ce-Subject"] in listed
    assert sent.startswith("sent again: ")


# --- what the platform's chart draws ------------------------------------------------------------------------------


def test_a_drawn_token_is_made_known_once_and_a_revoked_one_stays_so(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    token = auth.new_token()
    monkeypatch.setenv("URUMI_TOKEN", token)
    monkeypatch.setattr("sys.argv", ["cli", "token", "keep", "--owner", "root", "--role", "admin"])
    cli.main()
    assert auth.authenticate(f"Bearer {token}") == auth.Caller("root", "admin")
    world.rows("update api_tokens set revoked_at = now()")
    cli.main()
    assert world.value("select count(*) from api_tokens where revoked_at is null") == 0
    assert token not in capsys.readouterr().out


def test_something_else_than_a_token_is_not_made_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("URUMI_TOKEN", "hunter2")
    monkeypatch.setattr("sys.argv", ["cli", "token", "keep", "--owner", "root"])
    with pytest.raises(SystemExit, match="urumi_"):
        cli.main()


def test_a_platform_takes_its_id_while_it_has_no_stores(world: World) -> None:
    first, second = uuid4(), uuid4()
    with db.connection() as conn:
        db.name_platform(conn, first)
        db.name_platform(conn, first)
        assert db.platform_id(conn) == first
    world.create()
    with db.connection() as conn:
        db.name_platform(conn, first)
        with pytest.raises(RuntimeError, match=str(first)):
            db.name_platform(conn, second)
