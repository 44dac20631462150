"""A process's first connection to PostgreSQL over TCP, when the network does not know its pod yet."""

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


@contextlib.contextmanager
def road(url: str) -> Iterator[tuple[str, list[float]]]:
    """The server over TCP, and when each connection was tried; those of the first DEAF seconds hear nothing."""
    where = conninfo_to_dict(url)
    path = f"{where['host']}/.s.PGSQL.{where.get('port', 5432)}"
    tries: list[float] = []
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
                tries.append(time.monotonic())
                ends.append(client)
                if time.monotonic() - tries[0] < DEAF:
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
            yield make_conninfo(url, host="127.0.0.1", port=server.getsockname()[1]), tries
        finally:
            server.shutdown(socket.SHUT_RDWR)
            taking.join(5)
            for end in ends:
                end.close()


def test_packets_lost_at_first_cost_tenths_of_a_second(world: World) -> None:
    with road(world.database.app_url) as (url, tries):
        world.configure(database_url=url)
        began = time.monotonic()
        with db.connection() as conn:
            conn.execute("select 1")
        assert time.monotonic() - began < 0.9, "libpq's own connection would still wait"
        assert len(tries) >= 3
        db.pool().close()


def test_a_server_that_refuses_is_named_as_away(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    world.configure(database_url=make_conninfo(world.database.app_url, host="127.0.0.1", port=port))
    with pytest.raises(db.Unavailable, match="does not answer") as away, db.connection():
        pass
    assert isinstance(away.value.__cause__, psycopg.Error)
