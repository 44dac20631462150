"""Connections that do not wait a second for what the network lost, and posts of events over them.

Network policies learn a new pod's address up to a second after its start. Until then a peer that policies protect does
not get its packets. And a policy agent that writes all its rules anew when any pod changes (kube-network-policies,
which kind brings, does) loses the first packets that it was just judging. The kernel and the resolver try again after a
whole second; on a cold start's way that second is most of what there is to gain.
"""

import http.client
import socket
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, repeat
from queue import Empty, SimpleQueue
from threading import Event, Thread
from time import monotonic
from typing import Protocol, TypeVar

DELIVERY = 180  # seconds for an event; all of a trigger's tries take a little more than two minutes
PAUSES = (*[0.1] * 6, 0.2, 0.2, 0.4)  # seconds until the next try of a connection


class Closeable(Protocol):
    def close(self) -> object: ...


Made = TypeVar("Made", bound=Closeable)


def first(make: Callable[[float], Made], *, seconds: float, what: str, pauses: Sequence[float] = PAUSES) -> Made:
    """What the first of several tries makes; those that come late are closed.

    A try is told how many seconds are left. The next one follows after the next of `pauses`, the last one of which
    counts for ever, while those before it go on. Raises what the first try that fails raises, or TimeoutError when
    none has ended after `seconds`.
    """
    results = SimpleQueue[Made | Exception]()
    over = Event()
    until = monotonic() + seconds

    def attempt() -> None:
        try:
            made = make(max(0.1, until - monotonic()))
        except Exception as error:
            results.put(error)
        else:
            results.put(made)
            if over.is_set():
                made.close()

    for pause in chain(pauses, repeat(pauses[-1])):
        if monotonic() >= until:
            break
        Thread(target=attempt, daemon=True).start()
        try:
            result = results.get(timeout=min(pause, max(0.0, until - monotonic())))
        except Empty:
            continue
        _end(over, results)
        if isinstance(result, Exception):
            raise result
        return result
    _end(over, results)
    raise TimeoutError(f"{what} did not answer within {seconds:g} s")


def _end(over: Event, results: SimpleQueue[Made | Exception]) -> None:
    """What comes too late is closed: by its try, or here when that has just put it down."""
    over.set()
    while not results.empty():
        if not isinstance(late := results.get(), Exception):
            late.close()


def connect(host: str, port: int, *, seconds: float) -> socket.socket:
    """A connection by `first`; each try looks the name up anew. Raises OSError."""
    made = first(lambda left: socket.create_connection((host, port), left), seconds=seconds, what=f"{host}:{port}")
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as http.client's and urllib3's own
    return made


class _Connection(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = connect(self.host, self.port, seconds=self.timeout or 60)
        self.sock.settimeout(self.timeout)


class _Handler(urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, request)


_opener = urllib.request.build_opener(_Handler)


def post(url: str, headers: Mapping[str, str], body: bytes, *, seconds: float) -> int:
    """Posts to an address of ours; returns the status. Raises OSError, HTTPError among them, when it was not taken."""
    with _opener.open(urllib.request.Request(url, body, dict(headers)), timeout=seconds) as response:  # noqa: S310
        return int(response.status)
