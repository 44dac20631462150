"""What a store is, what can be seen of it, and what to do next. Values in, values out: no I/O here.

`desired` is the intent (the owner's, changed by requests), `status` is what has been achieved (changed by reconcile
alone), as spec and status are in Kubernetes. `decide` is the transition table between them.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from pydantic import BaseModel, ConfigDict


class Engine(StrEnum):
    """What runs the shop; `engines.py` says what each one is made of."""

    WOOCOMMERCE = "woocommerce"
    MEDUSA = "medusa"


class Desired(StrEnum):
    PRESENT = "present"
    ABSENT = "absent"
    ASLEEP = "asleep"


class Phase(StrEnum):
    """A store's status. Only `ready` takes orders."""

    PROVISIONING = "provisioning"
    READY = "ready"
    FAILED = "failed"
    WARM = "warm"  # complete, but nobody's yet
    DEGRADED = "degraded"  # was ready, and something of it is down
    ASLEEP = "asleep"  # scaled to zero, data kept
    DELETING = "deleting"
    DELETED = "deleted"


class Store(BaseModel):
    """A row of `stores`; its fields are explained in migrations/0001.stores.sql."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    owner: str | None = None
    name: str | None = None
    type: Engine
    desired: Desired = Desired.PRESENT
    status: Phase = Phase.PROVISIONING
    namespace: str
    host: str | None = None
    helm_release: str = "store"
    release: str
    identity: int = 1
    sealed_identity: int = 0
    attempt: int = 1
    failures: int = 0
    next_try_at: datetime | None = None
    deadline_at: datetime | None = None
    error_reason: str | None = None
    error_message: str | None = None
    traceparent: str | None = None
    version: int = 1
    created_at: datetime
    requested_at: datetime
    updated_at: datetime
    ready_at: datetime | None = None
    time_to_ready: float | None = None
    from_warm: bool = False
    retired_at: datetime | None = None
    deleted_at: datetime | None = None


RESERVED_NAMES = frozenset(
    "admin administrator api app assets auth autoconfig autodiscover blog cdn console dashboard dns docs ftp git "
    "grafana help host imap ingress internal kube kubernetes login localhost mail metrics mx ns ns1 ns2 oauth ops "
    "platform pop postgres postmaster prometheus root shop sign-in smtp ssl static status store stores support system "
    "test traefik urumi webmail webmaster wpad ws www".split()
)
_HOST_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


def name_problem(name: str) -> str | None:
    """Why `name` cannot be a store's name, or None. It becomes a host name: one RFC 1123 label."""
    if not 3 <= len(name) <= 40:
        return "Use 3 to 40 characters."
    if not _HOST_LABEL.fullmatch(name):
        return "Use lower-case letters a-z, digits and hyphens; begin and end with a letter or digit."
    if name.startswith("xn--"):
        return "Names that begin with xn-- are reserved for encoded host names."
    if name in RESERVED_NAMES:
        return f"“{name}” is reserved. Choose another name."
    return None


def namespace_of(store_id: UUID) -> str:
    """The store's namespace. It carries the id, not the name, so that a name can be used again at once."""
    return f"store-{store_id.hex[-12:]}"  # the random end of a UUIDv7; its beginning is the clock


class Namespace(StrEnum):
    ABSENT = "absent"
    ACTIVE = "active"
    TERMINATING = "terminating"


class Release(StrEnum):
    """Helm's word on the release, folded to what makes a difference here."""

    ABSENT = "absent"
    PENDING = "pending"  # a helm was killed in the middle; nobody is at work, since we hold the store's lock
    DEPLOYED = "deployed"
    FAILED = "failed"
    UNINSTALLING = "uninstalling"


@dataclass(frozen=True)
class Problem:
    """Why a store is not ready: a short word for machines, a sentence for its owner."""

    reason: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What the cluster shows of one store at one moment."""

    namespace: Namespace = Namespace.ABSENT
    prepared: bool = False  # quota, limits, policies and the secret are all in place
    release: Release = Release.ABSENT
    release_version: str | None = None
    database: bool = False
    workloads: bool = False  # every Deployment and StatefulSet has all its replicas ready
    asleep: bool = False  # they are scaled to zero
    host: str | None = None  # what the Ingress routes here
    identity: int = 0  # the identity that the running store has taken
    reachable: bool = False  # its own address answered
    volumes: int = 0  # PersistentVolumes bound to the namespace
    problem: Problem | None = None


GONE = Observation()


class Action(StrEnum):
    """One bounded step. The first group changes the cluster, the second only the row."""

    PREPARE = "prepare"
    INSTALL = "install"
    HEAL = "heal"
    ROUTE = "route"
    PERSONALISE = "personalise"
    SEAL = "seal"
    SLEEP = "sleep"
    WAKE = "wake"
    UNINSTALL = "uninstall"
    DELETE_NAMESPACE = "delete-namespace"

    REPLACE = "replace"
    MARK_READY = "mark-ready"
    MARK_WARM = "mark-warm"
    MARK_DEGRADED = "mark-degraded"
    MARK_FAILED = "mark-failed"
    MARK_ASLEEP = "mark-asleep"
    MARK_DELETED = "mark-deleted"

    WAIT = "wait"
    NOTHING = "nothing"


CLUSTER_ACTIONS = frozenset(list(Action)[:10])


@dataclass(frozen=True)
class Decision:
    action: Action
    problem: Problem | None = None


def decide(store: Store, seen: Observation, now: datetime) -> Decision:
    """The next step towards what the owner wants. Pure: the same arguments, the same decision."""
    if store.status is Phase.DELETED:
        return Decision(Action.NOTHING)
    absent = store.desired is Desired.ABSENT
    decision = _towards_absent(seen) if absent else _towards_present(store, seen, now)
    if decision.action in CLUSTER_ACTIONS and store.next_try_at is not None and now < store.next_try_at:
        return Decision(Action.WAIT, _last_error(store))
    return decision


def _towards_absent(seen: Observation) -> Decision:
    if seen.namespace is Namespace.ACTIVE:
        return Decision(Action.DELETE_NAMESPACE if seen.release is Release.ABSENT else Action.UNINSTALL)
    if seen.namespace is Namespace.TERMINATING or seen.volumes:
        return Decision(Action.WAIT, seen.problem)
    return Decision(Action.MARK_DELETED)


def _towards_present(store: Store, seen: Observation, now: datetime) -> Decision:
    was_up = store.ready_at is not None or store.status is Phase.WARM
    if was_up and seen.namespace is not Namespace.ACTIVE:
        # Building it again would put an empty shop where the owner's shop was: that is the owner's decision.
        return _failed(store, LOST)
    step = _build(store, seen)
    if store.from_warm and store.ready_at is None and _claim_failed(store, seen, now):
        return Decision(Action.REPLACE)
    if step.action in (Action.MARK_READY, Action.MARK_WARM, Action.MARK_ASLEEP, Action.NOTHING):
        return step
    if store.status is Phase.FAILED:
        # Keep what there is until the owner says retry; finish if it came up all by itself.
        return step if seen.workloads and step.action in FINISHING else Decision(Action.NOTHING)
    if store.status is Phase.PROVISIONING and store.deadline_at is not None and now >= store.deadline_at:
        return _failed(store, step.problem or _last_error(store) or TIMED_OUT)
    if store.status is Phase.WARM and step.action is Action.WAIT:
        return _failed(store, step.problem or DOWN)  # nobody's yet, so nobody misses it: it is replaced
    if store.status is Phase.READY and step.action is Action.WAIT and not seen.workloads:
        return Decision(Action.MARK_DEGRADED, step.problem or DOWN)
    return step


FINISHING = frozenset({Action.ROUTE, Action.PERSONALISE, Action.SEAL, Action.WAIT})


def _build(store: Store, seen: Observation) -> Decision:
    """The first thing that is missing, in the order in which a store is built."""
    if seen.namespace is Namespace.TERMINATING:
        return Decision(Action.WAIT, seen.problem)
    if seen.namespace is Namespace.ABSENT or not seen.prepared:
        return Decision(Action.PREPARE)
    if seen.release in (Release.PENDING, Release.UNINSTALLING):
        return Decision(Action.HEAL)
    if seen.release is not Release.DEPLOYED or seen.release_version != store.release:
        return Decision(Action.INSTALL)
    if store.desired is Desired.ASLEEP:
        if not seen.asleep:
            return Decision(Action.SLEEP)
        return Decision(Action.NOTHING if store.status is Phase.ASLEEP else Action.MARK_ASLEEP)
    if seen.asleep:
        return Decision(Action.WAKE)
    if not seen.workloads:
        return Decision(Action.WAIT, seen.problem)
    if store.owner is None:
        return Decision(Action.NOTHING if store.status is Phase.WARM else Action.MARK_WARM)
    if seen.identity != store.identity:
        return Decision(Action.PERSONALISE)  # before the route: no shopper meets a shop without its name
    if seen.host != store.host:
        return Decision(Action.ROUTE)
    if store.sealed_identity != store.identity:  # meanwhile the ingress controller learns of the route
        return Decision(Action.SEAL)
    if store.status is Phase.READY:
        return Decision(Action.NOTHING)
    if not seen.reachable:
        return Decision(Action.WAIT, seen.problem or UNREACHABLE)
    return Decision(Action.MARK_READY)


CLAIM_TRIES = 3
CLAIM_PATIENCE = timedelta(seconds=15)


def _claim_failed(store: Store, seen: Observation, now: datetime) -> bool:
    """A store from stock that does not come to life is worth a few seconds; then its owner gets a new one."""
    late = now - store.requested_at > CLAIM_PATIENCE
    return store.failures >= CLAIM_TRIES or (late and not seen.workloads)


def _failed(store: Store, problem: Problem) -> Decision:
    if store.status is Phase.FAILED and store.error_reason == problem.reason:
        return Decision(Action.NOTHING)
    return Decision(Action.MARK_FAILED, problem)


def _last_error(store: Store) -> Problem | None:
    if store.error_reason is None:
        return None
    return Problem(store.error_reason, store.error_message or "")


LOST = Problem(
    "namespace-lost",
    "The store's namespace was removed outside Urumi, and its data with it. Retry builds an empty store, or delete it.",
)
TIMED_OUT = Problem("deadline", "The store did not become ready in time. Retry, or delete it.")
DOWN = Problem("down", "A part of the store is not answering. Kubernetes is restarting it.")
UNREACHABLE = Problem("unreachable", "The store runs, but its address does not answer yet.")


def steps(store: Store, seen: Observation) -> Iterator[tuple[str, bool]]:
    """What the owner is shown while waiting: each step in order, and whether it is done."""
    if store.desired is Desired.ABSENT:
        yield "uninstall", seen.release is Release.ABSENT
        yield "remove-namespace", seen.namespace is Namespace.ABSENT
        yield "remove-volumes", seen.namespace is Namespace.ABSENT and not seen.volumes
        return
    done = seen.namespace is Namespace.ACTIVE and seen.prepared
    yield "namespace", done
    yield "chart", (done := done and seen.release is Release.DEPLOYED)
    yield "database", (done := done and seen.database)
    yield "app", (done := done and seen.workloads)
    if store.owner is not None:
        yield "identity", (done := done and seen.identity == store.identity)
        yield "address", done and seen.host == store.host and (seen.reachable or store.status is Phase.READY)


class Cluster(Protocol):
    """What reconcile needs of a cluster. Every method can be called again after a kill at any point of it.

    The real one is cluster.py, the simulated one simulator.py. Errors: `errors.ClusterError`, which carries a cause.
    """

    def observe(self, store: Store) -> Observation:
        """Everything about one store, its own address tried included."""

    def observe_all(self) -> Mapping[str, Observation]:
        """All namespaces of this installation, by name, in a fixed number of calls. Addresses are not tried."""

    def prepare(self, store: Store) -> None:
        """The namespace with its labels, quota, limits and policies, and the store's secret, drawn once."""

    def install(self, store: Store) -> None:
        """The engine's chart, installed or upgraded to the wanted release. Does not wait for pods."""

    def heal(self, store: Store) -> None:
        """Clears what a killed helm left behind, without touching a volume, so that install can go on."""

    def route(self, store: Store) -> None:
        """Leads the store's host to it."""

    def personalise(self, store: Store) -> None:
        """Makes the running store the owner's: title, address, administrator. Draws the password if there is none."""

    def credentials(self, store: Store) -> dict[str, str]:
        """The administrator's `user` and `password`."""

    def scale(self, store: Store, *, awake: bool) -> None:
        """All workloads to zero, or back. Data stays."""

    def uninstall(self, store: Store) -> None:
        """The release's objects, as Helm knows them. Volumes go with the namespace."""

    def room(self) -> Mapping[Engine, int]:
        """How many more stores of each engine the cluster has room for."""

    def delete_namespace(self, namespace: str) -> None:
        """Asks for the namespace's removal; does not wait."""
