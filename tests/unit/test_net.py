"""A connection does not wait a whole second for what got lost on the way."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from urllib.error import HTTPError

import pytest

from stores import net
from tests.support import lost, posted_to


@pytest.fixture
def listener() -> Iterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()


def test_a_peer_that_answers_is_asked_once(listener: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    tries = lost(monkeypatch, 0, until=threading.Event())
    net.connect(*listener, seconds=3).close()
    assert len(tries) == 1


def test_a_lost_try_costs_a_tenth_of_a_second_and_its_late_answer_is_closed(
    listener: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = threading.Event()
    tries = lost(monkeypatch, 1, until=answer)
    began = time.monotonic()
    with net.connect(*listener, seconds=3):
        assert time.monotonic() - began < 0.9, "a second is what the kernel would have waited"
        assert len(tries) == 2
        answer.set()
        late = [t for t in threading.enumerate() if t is not threading.current_thread() and t.daemon]
        for thread in late:
            thread.join(3)  # a socket left open would be a ResourceWarning, which fails this test


def test_a_peer_that_never_answers_is_given_up_in_time(
    listener: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = lost(monkeypatch, 99, until=threading.Event())
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=r"did not answer within 0\.5 s"):
        net.connect(*listener, seconds=0.5)
    assert time.monotonic() - began < 1.5
    assert 3 <= len(tries) <= 5


def test_a_refusal_is_final() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = closed.getsockname()
    with pytest.raises(ConnectionRefusedError):
        net.connect(*address, seconds=3)


@pytest.mark.parametrize("status", [202, 409])
def test_a_post_is_taken_or_raises(status: int) -> None:
    bodies: list[bytes] = []

    def take(headers: dict[str, str], body: bytes) -> int:
        assert headers["ce-id"] == "1"
        bodies.append(body)
        return status

    with posted_to(take) as url:
        if status < 400:
            assert net.post(url, {"ce-id": "1"}, b"{}", seconds=3) == status
        else:
            with pytest.raises(HTTPError) as refused:
                net.post(url, {"ce-id": "1"}, b"{}", seconds=3)
            refused.value.close()
    assert bodies == [b"{}"]
