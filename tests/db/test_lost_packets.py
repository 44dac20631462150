"""Connections to PostgreSQL over TCP whose first packets get lost."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from stores import db
from tests.support import World

DEAF = 0.15  # seconds


class Road:
    """The way to the server over TCP. Connections hear nothing while it is deaf."""

    def __init__(self) -> None:
        self.url = ""
        self.tries: list[float] = []
        self._deaf_until: float | None = None

    def take(self) -> bool:
        """Notes a try; whether it is heard."""
        now = time.monotonic()
        self.tries.append(now)
        if self._deaf_until is None:
            self._deaf_until = now + DEAF
        return now >= self._deaf_until

    def deafen(self) -> None:
        """For DEAF seconds from the next try on."""
        self.tries.clear()
        self._deaf_until = None


@contextlib.contextmanager
def road(url: str) -> Iterator[Road]:
    where = conninfo_to_dict(url)
    path = f"{where['host']}/.s.PGSQL.{where.get('port', 5432)}"
    way = Road()
    ends: list[socket.socket] = []

    def carry(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def accept(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                ends.append(client)
                if not way.take():
                    continue
                there = socket.socket(socket.AF_UNIX)
                ends.append(there)
                there.connect(path)
                for pair in ((client, there), (there, client)):
                    threading.Thread(target=carry, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        taking = threading.Thread(target=accept, args=(server,), daemon=True)
        taking.start()
        try:
            way.url = make_conninfo(url, host="127.0.0.1", port=server.getsockname()[1])
            yield way
        finally:
            server.shutdown(socket.SHUT_RDWR)
            taking.join(5)
            for end in ends:
                end.close()


def test_packets_lost_at_first_cost_tenths_of_a_second(world: World) -> None:
    with road(world.database.app_url) as way:
        world.configure(database_url=way.url)
        began = time.monotonic()
        with db.connection() as conn:
            conn.execute("select 1")
        assert time.monotonic() - began < 0.9, "libpq's own connection would still wait"
        assert len(way.tries) >= 3
        db.pool().close()


def test_packets_lost_later_cost_no_more(world: World) -> None:
    with road(world.database.app_url) as way, contextlib.ExitStack() as held:
        world.configure(database_url=way.url)
        held.enter_context(db.connection())
        way.deafen()
        began = time.monotonic()
        while len(way.tries) < 3:  # the pool may have one in store
            held.enter_context(db.connection()).execute("select 1")
        assert time.monotonic() - began < 0.9
        held.close()
        db.pool().close()


def test_a_server_that_refuses_is_named_as_away(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    world.configure(database_url=make_conninfo(world.database.app_url, host="127.0.0.1", port=port))
    with pytest.raises(db.Unavailable, match="does not answer") as away, db.connection():
        pass
    assert isinstance(away.value.__cause__, psycopg.Error)
