"""The watch tells of what has become another, once, and goes on whatever the API server does."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from stores import apiserver, net, watch
from stores.errors import ClusterError
from stores.events import CALLER_CAME, CLUSTER_CHANGED, STORE_LABEL
from stores.settings import Settings
from tests.support import eventually

Object = dict[str, Any]


def deployment(name: str, *, ready: int = 0, version: int = 1, generation: int = 1, replicas: int = 1) -> Object:
    labels = {"urumi.dev/component": name}
    return {
        "metadata": {
            "uid": name, "name": name, "namespace": "store-0123456789ab", "labels": labels,
            "resourceVersion": str(version), "generation": generation,
        },
        "spec": {"replicas": replicas},
        "status": {"observedGeneration": generation, "readyReplicas": ready, "updatedReplicas": ready},
    }  # fmt: skip


class Server(apiserver.ApiServer):
    """An API server that says what it is told to: a stream for each call, or an error."""

    def __init__(self, *answers: list[tuple[str, Object]] | ClusterError) -> None:
        self.answers = iter(answers)
        self.asked: list[str | None] = []

    def _send(self, *_: str, **parameters: Any) -> Any:
        self.asked.append(parameters["resource_version"])
        answer = next(self.answers, None)
        if answer is None:
            raise KeyboardInterrupt  # the end of the test's script
        if isinstance(answer, ClusterError):
            raise answer
        return (json.dumps({"type": kind, "object": each}).encode() for kind, each in answer)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apiserver, "WATCH_PAUSE", 0.0)


def told(server: Server) -> list[str]:
    (workloads, *_) = watch.watched()
    names = []
    try:
        for each in server.changes(workloads.path, label=workloads.label, state=workloads.state):
            names.append(each["metadata"]["name"])
    except KeyboardInterrupt:
        return names
    raise AssertionError("changes ended")


def test_what_was_there_and_what_comes_anew_is_no_change() -> None:
    assert told(Server([("ADDED", deployment("old", ready=1)), ("ADDED", deployment("new", version=2))])) == []


def test_becoming_ready_is_told_once_and_what_does_not_matter_never() -> None:
    steps = [
        ("ADDED", deployment("web")),
        ("MODIFIED", deployment("web", version=2)),
        ("MODIFIED", deployment("web", version=3, ready=1)),
        ("MODIFIED", deployment("web", version=4, ready=1)),
        ("MODIFIED", deployment("web", version=5, ready=1, generation=2)),
    ]
    assert told(Server(steps)) == ["web", "web"]


def test_a_removal_is_told() -> None:
    assert told(Server([("ADDED", deployment("web")), ("DELETED", deployment("web", version=2))])) == ["web"]


def test_a_watch_that_ends_goes_on_where_it_was() -> None:
    bookmark = {"metadata": {"resourceVersion": "7"}}
    server = Server([("ADDED", deployment("web")), ("BOOKMARK", bookmark)], [("MODIFIED", deployment("web", ready=1))])
    assert told(server) == ["web"]
    assert server.asked[:2] == [None, "7"]


@pytest.mark.parametrize("failure", ["error", "away"])
def test_what_changed_while_the_api_server_was_away_is_told_afterwards(failure: str) -> None:
    gone = {"code": 410, "message": "too old resource version"}
    middle = ClusterError("away", cause="cluster-away") if failure == "away" else [("ERROR", gone)]
    later = [("ADDED", deployment("web", version=9, ready=1)), ("ADDED", deployment("other", version=8))]
    server = Server([("ADDED", deployment("web")), ("ADDED", deployment("other"))], middle, later)
    assert told(server) == ["web"]
    assert server.asked[:3] == [None, "1", None], "it begins anew, since its position may be too old"


@pytest.mark.parametrize("issuer", [None, "letsencrypt"])
def test_certificates_are_watched_where_each_host_has_one(issuer: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "settings", lambda: Settings(tls_issuer=issuer))
    kinds = [each.path.rpartition("/")[2] for each in watch.watched() if each.label == STORE_LABEL]
    assert kinds == ["deployments", "statefulsets", "namespaces", *(["certificates"] if issuer else [])]


def test_only_a_function_that_wakes_up_announces_a_caller() -> None:
    (awaited,) = [each for each in watch.watched() if each.event(deployment("create", replicas=0)) is None]
    assert awaited.event(deployment("create")) == ("dev.urumi.cluster.caller-came", "create")
    assert awaited.state(deployment("create", replicas=0)) != awaited.state(deployment("create"))
    assert awaited.state(deployment("create", ready=1)) == awaited.state(deployment("create"))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[list[str], threading.Semaphore]]:
    """Subjects of the posts; each waits for leave to end."""
    subjects: list[str] = []
    leave = threading.Semaphore(0)

    def post(_: str, headers: dict[str, str], *__: bytes, **___: float) -> int:
        subjects.append(headers["ce-subject"])
        leave.acquire(timeout=10)
        return 202

    monkeypatch.setattr(net, "post", post)
    yield subjects, leave
    leave.release(100)


def test_one_event_that_waits_stands_for_all_that_are_like_it(
    sent: tuple[list[str], threading.Semaphore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "POSTS", 1)
    subjects, leave = sent
    posts = watch.Posts("http://sink")
    posts.put(("changed", "first"))
    eventually(lambda: subjects == ["first"])
    for subject in ("first", "first", "second", "first", "second"):
        posts.put(("changed", subject))
    leave.release(3)
    eventually(lambda: len(subjects) == 3)
    assert subjects == ["first", "first", "second"]


@pytest.mark.parametrize("named", ["http://reconcile", None])
def test_reconcile_is_woken_past_the_broker_and_hears_of_changes_through_it(
    named: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    posted: list[tuple[str, str]] = []
    monkeypatch.setattr(net, "post", lambda url, headers, *_, **__: posted.append((url, headers["ce-subject"])))
    posts = watch.Posts("http://sink", reconcile=named)
    posts.put((CALLER_CAME, "create"))
    posts.put((CLUSTER_CHANGED, "store-0123456789ab"))
    eventually(lambda: len(posted) == 2)
    assert set(posted) == {(named or "http://sink", "create"), ("http://sink", "store-0123456789ab")}


def test_a_sink_that_is_away_costs_an_event_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "POSTS", 1)
    tries = itertools.count(1)
    done: list[str] = []

    def post(_: str, headers: dict[str, str], *__: bytes, **___: float) -> int:
        if next(tries) == 1:
            raise ConnectionRefusedError
        done.append(headers["ce-subject"])
        return 202

    monkeypatch.setattr(net, "post", post)
    posts = watch.Posts("http://sink")
    posts.put(("changed", "first"))
    posts.put(("changed", "second"))
    eventually(lambda: done == ["second"])


def test_an_error_that_waiting_does_not_cure_ends_the_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Server):
        def changes(self, *_: str, **__: Any) -> Iterator[Object]:
            raise RuntimeError("what is this?")

    monkeypatch.setattr(watch, "ApiServer", Broken)
    with pytest.raises(RuntimeError, match=r"what is this\?"):
        watch.watch("http://sink")
