"""Whether a store's own address gives a shopper a page."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from stores.cluster import KubernetesCluster
from stores.model import Desired, Engine, Phase, Store
from stores.settings import settings

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STORE = Store(
    id=uuid4(), owner="alice", name="lamp", host="lamp.example.org", type=Engine.MEDUSA, desired=Desired.PRESENT,
    status=Phase.PROVISIONING, namespace="store-000000000001", release="medusa-0.1.0-x", sealed_identity=1,
    deadline_at=NOW, created_at=NOW, requested_at=NOW, updated_at=NOW,
)  # fmt: skip
PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nshop"


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KubernetesCluster:
    """One that is asked nothing."""
    named = {
        "clusters": [{"name": "it", "cluster": {"server": "https://localhost:1"}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "users": [{"name": "it", "user": {}}],
        "current-context": "it",
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(named))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))
    return KubernetesCluster(platform=uuid4())


@contextmanager
def ingress(monkeypatch: pytest.MonkeyPatch, *answers: bytes | dict[bytes, bytes] | None) -> Iterator[list[bytes]]:
    """Answers one connection after the other, None never, a dict by how the request begins; what was asked."""
    asked: list[bytes] = []
    silent: list[socket.socket] = []

    def serve(server: socket.socket) -> None:
        for answer in answers:
            try:
                connection, _ = server.accept()
            except OSError:  # the test is over
                return
            asked.append(connection.recv(65536))
            if answer is None:
                silent.append(connection)
                continue
            if isinstance(answer, dict):
                (answer,) = [said for begin, said in answer.items() if asked[-1].startswith(begin)]
            connection.sendall(answer)
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("URUMI_INGRESS_ADDRESS", f"127.0.0.1:{server.getsockname()[1]}")
        settings.cache_clear()
        serving = threading.Thread(target=serve, args=(server,))
        serving.start()
        try:
            yield asked
        finally:
            server.shutdown(socket.SHUT_RDWR)
            serving.join(5)
            for each in silent:
                each.close()
            settings.cache_clear()


def test_an_address_that_gives_a_page_is_asked_once(
    cluster: KubernetesCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ingress(monkeypatch, PAGE) as asked:
        assert cluster._try_address("lamp.example.org", "/") is None
    (request,) = asked
    assert request.startswith(b"GET / HTTP/1.1\r\n")
    assert b"Host: lamp.example.org\r\n" in request


def test_a_page_that_gets_lost_is_asked_for_again_beside_it(
    cluster: KubernetesCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the ingress and the shop, or within it, where nobody but the kernel tries again, after a second."""
    began = time.monotonic()
    with ingress(monkeypatch, None, PAGE) as asked:
        assert cluster._try_address("lamp.example.org", "/") is None
        assert time.monotonic() - began < 0.9
        assert len(asked) == 2


def test_a_shop_that_does_not_answer_is_asked_twice_and_named(
    cluster: KubernetesCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stores.cluster.PAGE_PATIENCE", 1.5)
    with ingress(monkeypatch, None, None, None) as asked:
        problem = cluster._try_address("lamp.example.org", "/")
        assert len(asked) == 2
    assert problem is not None
    assert problem.reason == "unreachable"
    assert "did not answer within 1.5 s" in problem.message


def test_an_address_that_answers_something_else_says_what(
    cluster: KubernetesCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ingress(monkeypatch, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"):
        problem = cluster._try_address("lamp.example.org", "/")
    assert problem is not None
    assert problem.message == "The store runs, but its address answers 404."


@pytest.mark.parametrize(("status", "fine"), [("200 OK", True), ("302 Found", True), ("404 Not Found", False)])
def test_a_store_whose_admin_is_not_yet_led_to_is_not_ready(
    status: str, fine: bool, cluster: KubernetesCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ingress knows the shop's part first, which answers “not found” in the admin's place."""
    monkeypatch.setattr("stores.cluster.ROUTE_PATIENCE", 0)
    answers = {b"GET / ": PAGE, b"GET /app ": f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()}
    with ingress(monkeypatch, answers, answers):
        reachable, problem = cluster._answers(STORE)
    assert reachable is fine
    assert (problem and problem.message) == (None if fine else "The store runs, but its admin at /app answers 404.")
