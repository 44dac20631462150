"""The watch: tells reconcile of changes in the cluster, and wakes it together with a function that will need it.

One small pod (knative/base/watch.yaml), or a thread of `make run`. It keeps nothing: what it misses, the sweep finds.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Lock, Thread
from typing import NoReturn

from stores import events, net
from stores.apiserver import APPS, CORE, ApiServer, Object
from stores.cluster import is_ready, is_terminating, is_up, what_blocks
from stores.logs import log
from stores.settings import settings

POSTS = 8  # at the same time; Knative's in-memory broker answers one only when reconcile has
CALLERS = "urumi.dev/component in (create, delete)"


@dataclass(frozen=True, kw_only=True)
class Watched:
    """Objects, what of each is worth an event when it becomes another, and that event: its type and subject, if any."""

    path: str
    label: str = events.STORE_LABEL
    state: Callable[[Object], Hashable]
    event: Callable[[Object], tuple[str, str] | None]


def watched() -> list[Watched]:
    of_a_store = [
        Watched(path=f"{APPS}/deployments", state=_workload, event=_changed),
        Watched(path=f"{APPS}/statefulsets", state=_workload, event=_changed),
        Watched(path=f"{CORE}/namespaces", state=_namespace, event=_changed),
    ]
    if settings().tls_issuer:
        # cert-manager gives a certificate the labels of its Ingress.
        of_a_store.append(Watched(path="/apis/cert-manager.io/v1/certificates", state=is_ready, event=_changed))
    return [*of_a_store, Watched(path=f"{APPS}/deployments", label=CALLERS, state=_awake, event=_caller_came)]


def _workload(each: Object) -> Hashable:
    return each["metadata"]["generation"], is_up(each)


def _namespace(each: Object) -> Hashable:
    return is_terminating(each), what_blocks(each)


def _awake(each: Object) -> bool:
    return bool(each["spec"].get("replicas", 1))


def _changed(each: Object) -> tuple[str, str]:
    return events.CLUSTER_CHANGED, each["metadata"].get("namespace", each["metadata"]["name"])


def _caller_came(each: Object) -> tuple[str, str] | None:
    return (events.CALLER_CAME, each["metadata"]["labels"]["urumi.dev/component"]) if _awake(each) else None


def watch(sink: str, *, reconcile: str | None = None) -> NoReturn:
    """Tells `sink` of all that changes, and wakes `reconcile`, if named, directly: to wake it needs no broker.

    Ends with the first error that waiting does not cure.
    """
    server, posts, ends = ApiServer(), Posts(sink, reconcile=reconcile), SimpleQueue[Exception]()

    def follow(what: Watched) -> None:
        try:
            for each in server.changes(what.path, label=what.label, state=what.state):
                if event := what.event(each):
                    posts.put(event)
        except Exception as error:
            ends.put(error)

    for what in watched():
        Thread(target=follow, args=(what,), daemon=True).start()
    raise ends.get()


class Posts:
    """Sends events, some at a time. One that still waits stands for all that are like it."""

    def __init__(self, sink: str, *, reconcile: str | None = None) -> None:
        self._sink = sink
        self._reconcile = reconcile or sink
        self._queue = SimpleQueue[tuple[str, str]]()
        self._waiting: set[tuple[str, str]] = set()
        self._lock = Lock()
        for _ in range(POSTS):
            Thread(target=self._work, daemon=True).start()

    def put(self, event: tuple[str, str]) -> None:
        with self._lock:
            if event in self._waiting:
                return
            self._waiting.add(event)
        self._queue.put(event)

    def _work(self) -> None:
        while True:
            event = self._queue.get()
            with self._lock:
                self._waiting.discard(event)  # what changes from now on needs an event of its own
            self._post(*event)

    def _post(self, kind: str, subject: str) -> None:
        headers, body = events.hint(kind, source="/watch", subject=subject)
        fields = {"type": kind, "subject": subject}
        url = self._reconcile if kind == events.CALLER_CAME else self._sink
        try:
            net.post(url, headers, body, seconds=net.DELIVERY)
            log.info("change told", extra={"fields": fields})
        except OSError as error:
            log.info("change not told, the sweep will find it", extra={"fields": fields | {"error": str(error)}})
